//! A body, held against what is expected of it while it comes in; only as much of it is kept as the
//! text is long.

/// What is checked of a body.
#[derive(Debug)]
pub struct Check<'a> {
    limit: u64,
    bytes: u64,
    /// What is still to be found.
    wanted: Option<&'a [u8]>,
    /// The end of what came so far, shorter than what is to be found.
    tail: Vec<u8>,
}

impl<'a> Check<'a> {
    pub fn new(limit: u64, wanted: Option<&'a str>) -> Self {
        Self {
            limit,
            bytes: 0,
            wanted: wanted.filter(|text| !text.is_empty()).map(str::as_bytes),
            tail: Vec::new(),
        }
    }

    /// Takes the next part. The error is the kind of a refusal.
    pub fn take(&mut self, data: &[u8]) -> Result<(), &'static str> {
        self.bytes = self.bytes.saturating_add(data.len() as u64);
        if self.bytes > self.limit {
            return Err("body-size");
        }
        let Some(wanted) = self.wanted else { return Ok(()) };
        // It may have begun in the part before.
        let over = data.len().min(wanted.len() - 1);
        self.tail.extend_from_slice(&data[..over]);
        if holds(&self.tail, wanted) || holds(data, wanted) {
            self.wanted = None;
            self.tail = Vec::new();
            return Ok(());
        }
        self.tail.extend_from_slice(
            &data[over..][data[over..].len().saturating_sub(wanted.len() - 1)..],
        );
        let surplus = self.tail.len().saturating_sub(wanted.len() - 1);
        self.tail.drain(..surplus);
        Ok(())
    }

    /// The body is whole. The error is the kind of a refusal.
    pub const fn end(&self) -> Result<(), &'static str> {
        if self.wanted.is_some() { Err("body") } else { Ok(()) }
    }

    /// How many bytes came.
    pub fn bytes(&self) -> u32 {
        u32::try_from(self.bytes).unwrap_or(u32::MAX)
    }
}

fn holds(text: &[u8], wanted: &[u8]) -> bool {
    text.windows(wanted.len()).any(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_text_is_found_however_the_body_is_cut(
            parts in prop::collection::vec("[ab]{0,4}", 0..8),
            wanted in "[ab]{1,5}",
        ) {
            let mut check = Check::new(100, Some(&wanted));
            for part in &parts {
                check.take(part.as_bytes()).unwrap();
            }
            prop_assert_eq!(check.end().is_ok(), parts.concat().contains(&wanted));
            prop_assert_eq!(check.bytes() as usize, parts.concat().len());
        }
    }

    #[test]
    fn a_body_at_the_limit_is_good_and_one_byte_more_is_too_large() {
        let mut check = Check::new(4, None);
        assert_eq!(check.take(b"1234"), Ok(()));
        assert_eq!(check.take(b"5"), Err("body-size"));
    }
}
