/**
 * Writes a message of Google's Protocol Buffers, the few kinds of fields that a FunctionDef needs
 * (protobuf.dev/programming-guides/encoding). Fields stand in the order in which they are added.
 */
export class Message {
  readonly #parts: Uint8Array[] = [];

  /** A whole number, a truth value or a member of an enumeration. */
  integer(field: number, value: number): this {
    return this.#key(field, 0).#varint(value);
  }

  float(field: number, value: number): this {
    const bytes = new Uint8Array(4);
    new DataView(bytes.buffer).setFloat32(0, value, true);
    return this.#key(field, 5).#add(bytes);
  }

  bytes(field: number, value: Uint8Array | string): this {
    const bytes = typeof value === 'string' ? new TextEncoder().encode(value) : value;
    return this.#key(field, 2).#varint(bytes.length).#add(bytes);
  }

  message(field: number, value: Message): this {
    return this.bytes(field, value.finish());
  }

  finish(): Uint8Array {
    return Buffer.concat(this.#parts);
  }

  #key(field: number, wireType: number): this {
    return this.#varint(field * 8 + wireType);
  }

  /** Seven bits a byte, lowest first; negative numbers as 64 bits of two's complement. */
  #varint(value: number): this {
    const bytes: number[] = [];
    let rest = BigInt.asUintN(64, BigInt(value));
    do {
      const low = Number(rest & 127n);
      rest >>= 7n;
      bytes.push(rest > 0n ? low | 128 : low);
    } while (rest > 0n);
    return this.#add(Uint8Array.from(bytes));
  }

  #add(bytes: Uint8Array): this {
    this.#parts.push(bytes);
    return this;
  }
}
