//! First answers by age.

use super::codec::{Rest, put_bytes, put_number};

/// A first answer, as it stands among those of about its age.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Aged {
    pub(crate) time_ms: u64,
    pub(crate) message_id: u64,
    /// The key of the answer.
    pub(crate) answer: Vec<u8>,
}

impl Aged {
    pub(crate) fn encode_all(answers: &[Self]) -> Vec<u8> {
        let mut row = Vec::with_capacity(answers.iter().map(|aged| 18 + aged.answer.len()).sum());
        for aged in answers {
            put_number(&mut row, aged.time_ms);
            put_number(&mut row, aged.message_id);
            put_bytes(&mut row, &aged.answer);
        }
        row
    }

    pub(crate) fn decode_all(row: &[u8]) -> Option<Vec<Self>> {
        let mut rest = Rest(row);
        let mut answers = Vec::new();
        while !rest.0.is_empty() {
            let (time_ms, message_id) = (rest.number()?, rest.number()?);
            answers.push(Self { time_ms, message_id, answer: rest.bytes()?.to_vec() });
        }
        Some(answers)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn answers_are_read_as_they_were_written(
            answers in proptest::collection::vec(
                (any::<u64>(), any::<u64>(), proptest::collection::vec(any::<u8>(), 0..40)), 0..5,
            ),
        ) {
            let answers: Vec<Aged> = answers
                .into_iter()
                .map(|(time_ms, message_id, answer)| Aged { time_ms, message_id, answer })
                .collect();
            prop_assert_eq!(Aged::decode_all(&Aged::encode_all(&answers)), Some(answers));
        }

        #[test]
        fn reading_never_panics(row in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Aged::decode_all(&row);
        }
    }
}
