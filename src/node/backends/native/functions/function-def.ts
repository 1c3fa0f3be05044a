import {createHash} from 'node:crypto';
import type {Attribute, AttributeTypes, Constant, Recording, Value} from './recording.js';
import {Message} from './protobuf.js';

// Field numbers are those of TensorFlow's function.proto, op_def.proto, node_def.proto, attr_value.proto and
// tensor.proto.

/** Names of the outputs of an operation, where they are not one named `output`. */
const OUTPUTS: Readonly<Record<string, readonly string[]>> = {
  ...Object.fromEntries(
    ['Add', 'AddV2', 'Sub', 'Mul', 'Div', 'RealDiv', 'Maximum', 'Minimum', 'SquaredDifference'].map((name) => [
      name,
      ['z'],
    ]),
  ),
  ...Object.fromEntries(
    ['Erf', 'Rsqrt', 'Sqrt', 'Square', 'Exp', 'Neg', 'Sigmoid', 'Tanh', 'Transpose', 'Cast', '_MklLayerNorm'].map(
      (name) => [name, ['y']],
    ),
  ),
  ...Object.fromEntries(['MatMul', '_FusedMatMul', '_MklNativeFusedMatMul'].map((name) => [name, ['product']])),
  Relu: ['activations'],
  Softmax: ['softmax'],
  _MklSoftmax: ['softmax'],
  FusedBatchNormV3: ['y', 'batch_mean', 'batch_variance', 'reserve_space_1', 'reserve_space_2', 'reserve_space_3'],
};
/** Operations whose one output is named `output`. */
const PLAIN_OUTPUT = new Set(
  ['BatchMatMulV2', 'BiasAdd', 'ConcatV2', 'Conv2D', 'ExpandDims', 'GatherV2', 'Identity', 'MaxPool', 'Mean', 'Pack']
    .concat(['Pad', 'PadV2', 'Reshape', 'Slice', 'Squeeze', 'StridedSlice', 'Sum', 'Tile'])
    .concat(['_MklNativeConv2DWithBias', '_MklNativeFusedConv2D']),
);

/** A function as TensorFlow takes it, under a name made of its content. */
export interface FunctionDef {
  readonly name: string;
  readonly bytes: Uint8Array;
}

/**
 * Makes a function of what was recorded.
 * @returns undefined where an operation is among it whose outputs have no known names
 */
export function functionDef(recording: Recording, types: AttributeTypes): FunctionDef | undefined {
  /** How a node refers to a value: an argument by its name, an output as node:name:index. */
  const references = new Map<number, string>();
  for (const [i, {id}] of recording.inputs.entries()) references.set(id, `in${i}`);
  const nodes: Message[] = [];
  for (const [id, constant] of recording.constants) {
    const name = `constant${nodes.length}`;
    nodes.push(constantNode(name, constant));
    references.set(id, `${name}:output:0`);
  }
  for (const [i, {operation, attributes, inputs, outputs}] of recording.operations.entries()) {
    const names = OUTPUTS[operation] ?? (PLAIN_OUTPUT.has(operation) ? ['output'] : undefined);
    if (!names || names.length !== outputs.length) return undefined;
    const name = `${operation.replaceAll('_', '')}${i}`;
    const node = new Message().bytes(1, name).bytes(2, operation);
    for (const id of inputs) node.bytes(3, references.get(id)!);
    for (const attribute of attributes) node.message(5, entry(attribute.name, attributeValue(attribute, types)));
    nodes.push(node);
    for (const [k, {id}] of outputs.entries()) references.set(id, `${name}:${names[k]}:0`);
  }
  const make = (name: string): Uint8Array => {
    const signature = new Message().bytes(1, name);
    const argument = (of: string, {type}: Value): Message => new Message().bytes(1, of).integer(3, type);
    for (const [i, input] of recording.inputs.entries()) signature.message(2, argument(`in${i}`, input));
    for (const [i, output] of recording.outputs.entries()) signature.message(3, argument(`out${i}`, output));
    const definition = new Message().message(1, signature);
    for (const node of nodes) definition.message(3, node);
    for (const [i, {id}] of recording.outputs.entries())
      definition.message(4, new Message().bytes(1, `out${i}`).bytes(2, references.get(id)!));
    return definition.finish();
  };
  const name = `mue_${createHash('sha256').update(make('')).digest('hex').slice(0, 16)}`;
  return {name, bytes: make(name)};
}

function constantNode(name: string, {shape, type, values}: Constant): Message {
  const sizes = new Message();
  for (const n of shape) sizes.message(2, new Message().integer(1, n));
  const content = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  const tensor = new Message().integer(1, type).message(2, sizes);
  // A list of one float stands for as many as the shape has.
  if (values.length < shape.reduce((product, n) => product * n, 1)) tensor.bytes(5, content);
  else tensor.bytes(4, content);
  return new Message()
    .bytes(1, name)
    .bytes(2, 'Const')
    .message(5, entry('dtype', new Message().integer(6, type)))
    .message(5, entry('value', new Message().message(8, tensor)));
}

function entry(key: string, value: Message): Message {
  return new Message().bytes(1, key).message(2, value);
}

/** An AttrValue: its own fields for single values, the same fields in a list. */
function attributeValue({type, value}: Attribute, types: AttributeTypes): Message {
  const write = (message: Message, one: unknown): Message => {
    if (type === types.TF_ATTR_STRING) return message.bytes(2, one as string);
    if (type === types.TF_ATTR_INT) return message.integer(3, one as number);
    if (type === types.TF_ATTR_FLOAT) return message.float(4, one as number);
    if (type === types.TF_ATTR_BOOL) return message.integer(5, one ? 1 : 0);
    return message.integer(6, one as number); // TF_ATTR_TYPE
  };
  if (!Array.isArray(value)) return write(new Message(), value);
  return new Message().message(1, (value as unknown[]).reduce(write, new Message()) as Message);
}
