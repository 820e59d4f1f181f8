use crate::load::Measured;

/// Prints one result.
pub(crate) fn figure(name: &str, value: f64, unit: &str) {
    let decimals = if value < 100.0 { 3 } else { 0 };
    println!("figure {name} {value:.decimals$} {unit}");
}

/// Prints the medians of the rounds of one load.
pub(crate) fn load_figures(name: &str, rounds: &[Measured]) {
    let median_of = |field: fn(&Measured) -> f64| median(rounds.iter().map(field));
    figure(name, median_of(|m| m.per_second), "req/s");
    figure(&format!("{name}_p50"), median_of(|m| m.p50_us), "us");
    figure(&format!("{name}_p99"), median_of(|m| m.p99_us), "us");
    let cpu = median_of(|m| m.server_us);
    figure(&format!("{name}_server_cpu"), cpu, "us/req");
}

/// The middle of the values; 0 of none.
pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = values.get(middle).copied().unwrap_or_default();
    if values.len().is_multiple_of(2) {
        let lower = values.get(middle.wrapping_sub(1)).copied();
        f64::midpoint(lower.unwrap_or_default(), upper)
    } else {
        upper
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_or_the_mean_of_the_two_middle_values() {
        for (values, wanted) in [
            (vec![], 0.0),
            (vec![7.0], 7.0),
            (vec![9.0, 1.0, 5.0], 5.0),
            (vec![4.0, 1.0, 2.0, 9.0], 3.0),
        ] {
            let found = median(values.iter().copied());
            assert!((found - wanted).abs() < 1e-9, "{values:?}: {found}");
        }
    }
}
