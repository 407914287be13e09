// Reads a message of buffer.py.

const POSITION_RANGE = 12000;

// The header, with `header.arrays[name]` = { values, shape }; 16-bit positions come back as floats in data units.
function readMessage(bytes) {
  const copy = bytes.slice().buffer; // own memory: the message may sit at an odd address, and typed arrays need alignment
  const length = new DataView(copy).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(copy, 4, length)));
  const kinds = { int16: Int16Array, uint8: Uint8Array, float32: Float32Array };
  for (const [name, [dtype, offset, shape, levels]] of Object.entries(header.arrays)) {
    const count = shape.reduce((a, b) => a * b, 1);
    if (dtype === "bits") {
      const packed = new Uint8Array(copy, 4 + length + offset), values = new Uint8Array(count);
      for (let i = 0; i < count; i++) values[i] = levels[(packed[i >> 2] >> (2 * (i & 3))) & 3];
      header.arrays[name] = { values, shape };
      continue;
    }
    let values = new kinds[dtype](copy, 4 + length + offset, count);
    if (dtype === "int16") values = scaled(values, header.extent / POSITION_RANGE);
    header.arrays[name] = { values, shape };
  }
  return header;
}

function scaled(integers, unit) {
  const values = new Float32Array(integers.length);
  for (let i = 0; i < values.length; i++) values[i] = integers[i] * unit; // a callback for each would take ten times as long
  return values;
}
