//! Texts that people and other programs are shown: names of sites, probes, services, contracts,
//! targets, reasons, parties. They come from whoever wrote a configuration, a contract or a
//! summary, and are printed, stored and compared by others. Hence what a name may hold is said here
//! once, and asked at every place where one comes in.

/// A name has at most so many characters.
pub const LONGEST: usize = 200;

/// Why a text is no name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAName {
    /// There is nothing in it.
    #[error("it is empty: a name has 1 to {LONGEST} printable characters")]
    Empty,
    /// It is too long.
    #[error("it has {0} characters: a name has 1 to {LONGEST}")]
    Long(usize),
    /// It holds a character that nobody sees, or that changes how others are seen.
    #[error(
        "it holds U+{:04X}, which is no printable character: a name has neither control \
         characters nor such as change the direction of what follows",
        u32::from(*.0)
    )]
    Unprintable(char),
}

/// Whether a text is a name: 1 to [`LONGEST`] printable characters.
///
/// # Errors
/// Says what is wrong with it.
pub fn name(text: &str) -> Result<(), NotAName> {
    if text.is_empty() {
        return Err(NotAName::Empty);
    }
    // Bytes are at least as many as characters: most texts are not counted.
    if text.len() > LONGEST {
        let count = text.chars().count();
        if count > LONGEST {
            return Err(NotAName::Long(count));
        }
    }
    printable(text)
}

/// A text as a name: of a longer one, what comes first, and `…`. What it was is told otherwise,
/// where that matters.
#[must_use]
pub fn shortened(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        None => text.to_owned(),
        Some(_) => text.chars().take(LONGEST - 1).chain(['…']).collect(),
    }
}

/// Whether every character of a text is printable, however long it is.
///
/// # Errors
/// Says the first that is not.
pub fn printable(text: &str) -> Result<(), NotAName> {
    match text.chars().find(|c| !is_printable(*c)) {
        Some(c) => Err(NotAName::Unprintable(c)),
        None => Ok(()),
    }
}

/// Whether a character is seen as itself. Not so are control characters (category Cc), the
/// separators of lines and paragraphs, those that only order others (Cf: bidirectional embeddings,
/// overrides, isolates and marks, invisible operators, tags), private ones, and what is no
/// character. The two joiners of U+200C and U+200D are let through: Persian and the scripts of
/// India are not written without them.
#[must_use]
pub fn is_printable(c: char) -> bool {
    if c.is_ascii() {
        return !c.is_ascii_control();
    }
    !matches!(c,
        '\u{80}'..='\u{9F}'
        | '\u{AD}' | '\u{600}'..='\u{605}' | '\u{61C}' | '\u{6DD}' | '\u{70F}'
        | '\u{890}'..='\u{891}' | '\u{8E2}' | '\u{180E}'
        | '\u{200B}' | '\u{200E}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}'
        | '\u{E000}'..='\u{F8FF}' | '\u{FDD0}'..='\u{FDEF}'
        | '\u{FEFF}' | '\u{FFF0}'..='\u{FFFB}' | '\u{FFFE}'..='\u{FFFF}'
        | '\u{110BD}' | '\u{110CD}' | '\u{13430}'..='\u{1343F}'
        | '\u{1BCA0}'..='\u{1BCA3}' | '\u{1D173}'..='\u{1D17A}'
        | '\u{E0000}'..='\u{E0FFF}' | '\u{F0000}'..='\u{10FFFF}')
        && u32::from(c) & 0xFFFE != 0xFFFE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_every_script_are_names() {
        let long = "é".repeat(LONGEST);
        for text in [
            "leeds-01",
            "a b",
            "Zürich",
            "पुणे-०१",
            "می‌خواهم",
            "東京",
            "ÅÄÖ 100%",
            "🚀",
            "é",
            &long,
            "\u{A0}",
        ] {
            assert_eq!(name(text), Ok(()), "{text:?}");
        }
    }

    #[test]
    fn what_nobody_sees_or_what_turns_others_around_is_in_no_name() {
        for c in [
            '\0',
            '\u{1}',
            '\t',
            '\n',
            '\r',
            '\u{1B}',
            '\u{7F}',
            '\u{80}',
            '\u{85}',
            '\u{9B}',
            '\u{AD}',
            '\u{61C}',
            '\u{200B}',
            '\u{200E}',
            '\u{200F}',
            '\u{2028}',
            '\u{2029}',
            '\u{202A}',
            '\u{202D}',
            '\u{202E}',
            '\u{2066}',
            '\u{2069}',
            '\u{E000}',
            '\u{FEFF}',
            '\u{FFFE}',
            '\u{1FFFF}',
            '\u{E0041}',
            '\u{10FFFF}',
        ] {
            assert_eq!(name(&format!("a{c}b")), Err(NotAName::Unprintable(c)), "{c:?}");
        }
        assert_eq!(name(""), Err(NotAName::Empty));
        assert_eq!(name(&"é".repeat(LONGEST + 1)), Err(NotAName::Long(LONGEST + 1)));
        assert!(NotAName::Unprintable('\u{202E}').to_string().contains("U+202E"));
    }

    #[test]
    fn a_longer_text_is_cut_to_a_name() {
        assert_eq!(shortened("https://a.example/"), "https://a.example/");
        let cut = shortened(&format!("https://a.example/{}", "é".repeat(300)));
        assert_eq!((name(&cut), cut.chars().count(), cut.ends_with("é…")), (Ok(()), LONGEST, true));
        assert_eq!(shortened(&"é".repeat(LONGEST)), "é".repeat(LONGEST));
    }

    #[test]
    fn every_control_character_that_unicode_knows_is_refused() {
        let all = (0..=u32::from(char::MAX)).filter_map(char::from_u32);
        assert!(all.filter(|c| c.is_control()).all(|c| !is_printable(c)));
    }
}
