/// A text that came from elsewhere, without what could do things to a terminal or look like another
/// text: control characters other than line breaks, and those that direct or hide what is around
/// them.
pub(crate) fn shown(text: &str) -> String {
    text.replace(
        |char| char != '\n' && (is_hidden(char) || char::is_control(char)),
        "?",
    )
}

/// The same, in one line.
pub(crate) fn shown_in_line(text: &str) -> String {
    shown(text).replace('\n', "?")
}

fn is_hidden(char: char) -> bool {
    matches!(char,
        '\u{ad}'
        | '\u{61c}'
        | '\u{180e}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_does_nothing_to_a_terminal() {
        for (text, expected) in [
            ("key é 鍵\nline", "key é 鍵\nline"),
            ("\x1b[2J\r\t\u{7f}\u{9b}", "?[2J????"),
            ("a\u{202e}b\u{2066}c\u{200b}\u{feff}\u{ad}", "a?b?c???"),
            ("\u{2028}\u{e0041}\u{61c}", "???"),
        ] {
            assert_eq!(shown(text), expected);
        }
        assert_eq!(shown_in_line("a\nb\u{200f}"), "a?b?");
    }
}
