//! The parts of an ONNX graph and the numbers of their fields
//! (<https://github.com/onnx/onnx/blob/v1.17.0/onnx/onnx.proto>).

use anyhow::Result;
use candle_core::Tensor;

use super::wire::Message;

/// ONNX's number for `float`, of tensors.
const FLOAT: u64 = 1;

/// ONNX's number for a list of whole numbers, of attributes.
const INTS: u64 = 7;

/// The same for one whole number.
const INT: u64 = 2;

/// Nodes in the order in which they run, and the tensors that they know from the start.
#[derive(Default)]
pub(super) struct Graph {
    nodes: Vec<Message>,
    tensors: Vec<Message>,
}

/// An attribute of a node.
pub(super) enum Attribute<'a> {
    /// A whole number.
    Number(&'a str, usize),
    /// Several of them.
    Numbers(&'a str, &'a [usize]),
}

impl Graph {
    /// Adds an operation with one output, and gives the output's name back.
    pub(super) fn node(&mut self, kind: &str, inputs: &[&str], output: &str, attributes: &[Attribute<'_>]) -> String {
        let attributes: Vec<Message> = attributes.iter().map(attribute).collect();
        let node = Message::default().texts(1, inputs.iter().copied()).bytes(2, output).bytes(3, output).bytes(4, kind);
        self.nodes.push(node.messages(5, &attributes));
        output.to_owned()
    }

    /// Adds a tensor of single precision, and gives its name back.
    pub(super) fn tensor(&mut self, name: String, values: &Tensor) -> Result<String> {
        let numbers: Vec<f32> = values.flatten_all()?.to_vec1()?;
        let bytes: Vec<u8> = numbers.into_iter().flat_map(f32::to_le_bytes).collect();
        let tensor = Message::default().numbers(1, values.dims().iter().copied()).number(2, FLOAT);
        self.tensors.push(tensor.bytes(8, &name).bytes(9, bytes));
        Ok(name)
    }

    /// The whole graph.
    pub(super) fn into_message(self, name: &str, inputs: &[Message], outputs: &[Message]) -> Message {
        let graph = Message::default().messages(1, &self.nodes).bytes(2, name).messages(5, &self.tensors);
        graph.messages(11, inputs).messages(12, outputs)
    }
}

fn attribute(attribute: &Attribute<'_>) -> Message {
    match attribute {
        Attribute::Number(name, value) => Message::default().bytes(1, name).number(3, *value as u64).number(20, INT),
        Attribute::Numbers(name, values) => {
            Message::default().bytes(1, name).numbers(8, values.iter().copied()).number(20, INTS)
        }
    }
}

/// An input or output of the graph, for as many faces as there are: `(batch, ...)`.
pub(super) fn value(name: &str, shape: &[usize], what: &str) -> Message {
    let batch = Message::default().bytes(2, "batch");
    let sides: Vec<Message> = shape.iter().map(|&side| Message::default().number(1, side as u64)).collect();
    let shape = Message::default().message(1, &batch).messages(1, &sides);
    let tensor = Message::default().number(1, FLOAT).message(2, &shape);
    Message::default().bytes(1, name).message(2, &Message::default().message(1, &tensor)).bytes(3, what)
}
