//! Protocol Buffers, as far as an ONNX file needs them: a message is its fields one after the other, each a number and a value
//! (<https://protobuf.dev/programming-guides/encoding/>).

/// A message in the making. Fields may come in any order, and those of a list one by one.
#[derive(Default)]
pub(super) struct Message(Vec<u8>);

/// How a value is written, in the last three bits before it.
const VARINT: u64 = 0;
const LENGTH_DELIMITED: u64 = 2;

impl Message {
    /// Adds a whole number.
    pub(super) fn number(mut self, field: u64, value: u64) -> Self {
        self.varint(field << 3 | VARINT);
        self.varint(value);
        self
    }

    /// Adds a list of whole numbers.
    pub(super) fn numbers(self, field: u64, values: impl IntoIterator<Item = usize>) -> Self {
        values.into_iter().fold(self, |message, value| message.number(field, value as u64))
    }

    /// Adds bytes or a text.
    pub(super) fn bytes(mut self, field: u64, value: impl AsRef<[u8]>) -> Self {
        let value = value.as_ref();
        self.varint(field << 3 | LENGTH_DELIMITED);
        self.varint(value.len() as u64);
        self.0.extend_from_slice(value);
        self
    }

    /// Adds a list of texts.
    pub(super) fn texts<'a>(self, field: u64, values: impl IntoIterator<Item = &'a str>) -> Self {
        values.into_iter().fold(self, |message, value| message.bytes(field, value))
    }

    /// Adds a message.
    pub(super) fn message(self, field: u64, value: &Self) -> Self {
        self.bytes(field, &value.0)
    }

    /// Adds a list of messages.
    pub(super) fn messages<'a>(self, field: u64, values: impl IntoIterator<Item = &'a Self>) -> Self {
        values.into_iter().fold(self, |message, value| message.message(field, value))
    }

    /// The message as it is written.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// Seven bits a byte, the lowest first; the eighth says that more follow.
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_written_as_the_specification_has_them() {
        // The examples of its page on the encoding: 150 in field 1, "testing" in field 2, and the first as a part of field 3.
        let number = Message::default().number(1, 150);
        assert_eq!(Message::default().message(3, &number).into_bytes(), [0x1a, 0x03, 0x08, 0x96, 0x01]);
        assert_eq!(number.into_bytes(), [0x08, 0x96, 0x01]);
        assert_eq!(Message::default().bytes(2, "testing").into_bytes(), *b"\x12\x07testing");
        // A field beyond 15 takes two bytes, and a list that is not packed one field each.
        assert_eq!(Message::default().numbers(20, [7, 0]).into_bytes(), [0xa0, 0x01, 7, 0xa0, 0x01, 0]);
        assert_eq!(Message::default().number(1, u64::MAX).into_bytes().len(), 11);
    }
}
