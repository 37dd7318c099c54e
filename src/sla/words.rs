//! How steps are told: numbers, lists and lengths for people.

use crate::base::decimal::Exact;

/// A count in words up to twelve, in digits above.
#[must_use]
pub fn number(count: usize) -> String {
    const WORDS: [&str; 13] = [
        "no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
        "eleven", "twelve",
    ];
    WORDS.get(count).map_or_else(|| count.to_string(), |word| (*word).to_owned())
}

/// `one outage`, `two outages`.
#[must_use]
pub fn counted(count: usize, what: &str) -> String {
    format!("{} {what}{}", number(count), if count == 1 { "" } else { "s" })
}

/// `a, b and c`; of many, the first ten and how many more.
#[must_use]
pub fn list(items: &[String]) -> String {
    const MOST: usize = 10;
    let (shown, more) = items.split_at(items.len().min(MOST));
    let mut parts = shown.to_vec();
    if !more.is_empty() {
        parts.push(format!("{} more", more.len()));
    }
    match parts.split_last() {
        None => String::new(),
        Some((only, [])) => only.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
    }
}

/// A length in seconds: `750 s`.
#[must_use]
pub fn seconds(nanos: i128) -> String {
    format!("{} s", Exact::seconds(nanos))
}

/// Lengths in seconds, as a list.
#[must_use]
pub fn lengths(nanos: impl IntoIterator<Item = i128>) -> String {
    list(&nanos.into_iter().map(seconds).collect::<Vec<_>>())
}

/// Adds the first twenty of some lines to the steps, and how many more there are.
pub fn some<T>(steps: &mut Vec<String>, all: &[T], told: impl Fn(&T) -> String) {
    const MOST: usize = 20;
    steps.extend(all.iter().take(MOST).map(told));
    if all.len() > MOST {
        steps.push(format!("and {} more", all.len() - MOST));
    }
}
