//! Commands: a name, a transaction and arguments (7.2).

use super::amf0::Value;
use super::{Error, Message, kind};

/// A command.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Command {
    /// What is wanted, or `_result`, `_error`, `onStatus`.
    pub(super) name: String,
    /// Which answer belongs to which question; 0 for none.
    pub(super) transaction: f64,
    /// The object that commands begin with, and what follows.
    pub(super) arguments: Vec<Value>,
}

impl Command {
    pub(super) fn new(name: &str, transaction: f64, arguments: Vec<Value>) -> Self {
        Self { name: name.to_owned(), transaction, arguments }
    }

    /// A status: its level, code and description.
    pub(super) fn status(level: &str, code: &str, description: &str) -> Self {
        Self::new("onStatus", 0.0, vec![Value::Null, info(level, code, description)])
    }

    /// The command in a message, if it is one.
    pub(super) fn of(message: &Message) -> Result<Option<Self>, Error> {
        let mut rest = match message.kind {
            kind::COMMAND => message.body.as_slice(),
            // Flash leads a command by a byte and goes on in AMF0 (7.1.1).
            kind::COMMAND_AMF3 => message.body.get(1..).unwrap_or_default(),
            _ => return Ok(None),
        };
        let (Some(Value::String(name)), Some(transaction)) = (Value::take(&mut rest), Value::take(&mut rest)) else {
            return Err(Error::Command);
        };
        let mut arguments = Vec::new();
        while let Some(argument) = Value::take(&mut rest) {
            arguments.push(argument);
        }
        Ok(Some(Self { name, transaction: transaction.as_number().unwrap_or(0.0), arguments }))
    }

    pub(super) fn into_message(self, stream: u32) -> Message {
        let mut body = Vec::new();
        Value::from(self.name.as_str()).put(&mut body);
        Value::Number(self.transaction).put(&mut body);
        self.arguments.iter().for_each(|argument| argument.put(&mut body));
        Message { kind: kind::COMMAND, time_ms: 0, stream, body }
    }

    /// The text in an argument; the object is number 0.
    pub(super) fn text(&self, argument: usize) -> Option<&str> {
        self.arguments.get(argument)?.as_str()
    }

    /// A field of whichever argument has it.
    pub(super) fn field(&self, name: &str) -> Option<&Value> {
        self.arguments.iter().find_map(|argument| argument.field(name))
    }
}

/// What statuses and answers tell.
pub(super) fn info(level: &str, code: &str, description: &str) -> Value {
    let pairs = [("level", level), ("code", code), ("description", description)];
    Value::Object(pairs.map(|(name, value)| (name.to_owned(), value.into())).into())
}

/// An object of texts.
pub(super) fn object<const N: usize>(pairs: [(&str, Value); N]) -> Value {
    Value::Object(pairs.map(|(name, value)| (name.to_owned(), value)).into())
}
