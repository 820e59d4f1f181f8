use std::fs;

use claviger_e2e::{Client, Home, output_of};
use uuid::Uuid;

use super::{CANARY, User, assert_stopped, said};

#[test]
fn file_has_any_bytes_for_the_job_and_its_children() {
    let home = Home::new();
    let daemon = home.start_dev();
    let user = User {
        home: &home,
        daemon: &daemon,
    };
    user.put();
    let file = home.path().join("key.der");
    let bytes = b"\0\xff\n";
    fs::write(&file, bytes).expect("a writable home");
    let put = format!(
        "definition put der --binary --value-from {}",
        file.display()
    );
    said(&user.run(&put));

    let variable = user.run("run --env KEY=der -- /bin/true");
    assert_stopped(
        &variable,
        125,
        &["secrets/der", "zero byte", "--file KEY=ID"],
    );

    let options = "run --file KEY=der --file OTHER=db";
    let script = "cat \"$KEY\"; sh -c 'cat \"$OTHER\" \"$KEY\"'; exit 7";
    let output = output_of(&mut user.job(options, script), "");
    assert_eq!(output.status.code(), Some(7));
    let expected = [bytes, CANARY.as_bytes(), bytes].concat();
    assert_eq!(output.stdout, expected);

    let script = "echo more >>\"$KEY\" || stat -L -c '%a %s' \"$KEY\"";
    let output = output_of(&mut user.job(options, script), "");
    assert_eq!(said(&output), "400 3\n");

    // Nothing else that the command has open.
    let script = "for open in /proc/self/fd/*; do readlink \"$open\"; done | grep -c memfd; \
                  for open in /proc/self/fd/*; do readlink \"$open\"; done | grep -c socket";
    let output = output_of(&mut user.job(options, script), "");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "2\n0\n");
}

#[test]
fn template_is_filled_or_the_job_is_not_started() {
    let home = Home::new();
    let daemon = home.start_dev();
    let user = User {
        home: &home,
        daemon: &daemon,
    };
    user.put();
    let der = "definition put der --binary --value-from -";
    said(&output_of(&mut user.command(der), "text"));
    let job = |text: &str| {
        fs::write(home.path().join("job.toml"), text).expect("a writable home");
        let options = "run --template CONFIG=job.toml";
        let mut job = user.job(options, "touch started; cat \"$CONFIG\"");
        output_of(job.current_dir(home.path()), "")
    };
    for (text, wanted) in [
        ("a\n b {{ secret db }}", "job.toml: line 2, column 4"),
        ("{{ secret \"no-such\" }}", "[DEFINITION_NOT_FOUND]"),
        ("{{ secret \"d+b\" }}", "job.toml: "),
        (
            "{{ secret \"der\" }}",
            "--file VAR=projects/dev/secrets/der",
        ),
    ] {
        assert_stopped(&job(text), 125, &[wanted]);
    }
    let missing = user.run("run --template CONFIG=/nowhere/file -- /bin/true");
    assert_stopped(&missing, 125, &["/nowhere/file", "cannot be read"]);
    assert!(!home.path().join("started").exists());

    let text = "key = \"{{ secret \"db\" }}\"\nurl = x:{{secret \"projects/dev/secrets/db\"}}@\n";
    let expected = format!("key = \"{CANARY}\"\nurl = x:{CANARY}@\n");
    assert_eq!(said(&job(text)), expected);
}

#[tokio::test]
async fn job_gets_more_than_one_answer_holds() {
    let home = Home::new();
    let daemon = home.start_dev();
    let user = User {
        home: &home,
        daemon: &daemon,
    };
    let client = Client::connect(&daemon.socket()).await;
    // More than the daemon takes names, and gives bytes, in one call.
    let mut options = "run".to_owned();
    for n in 0..101 {
        let (id, value) = (format!("s{n}"), format!("{n:040000}"));
        let created = client.create(&id, &value, Uuid::new_v4()).await;
        created.expect("created");
        options.push_str(&format!(" --file V{n}=s{n}"));
    }
    let script = "env | sed -n 's/^V[0-9]*=//p' | xargs -n 1 tail -c 4 | wc -c; \
                  env | sed -n 's/^V[0-9]*=//p' | xargs sha256sum | cut -c1-64 | sort -u | wc -l";
    let output = output_of(&mut user.job(&options, script), "");
    assert_eq!(said(&output), "404\n101\n");
}
