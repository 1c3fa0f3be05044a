// TensorFlow's fused operations (a product with its bias and GELU) take a list of words that names their parts, and a
// fused convolution a list of types. TensorFlow.js' binding passes single words and types alone; this adds the lists to
// its source.

/**
 * C++ that reads a list where the attribute's value is one.
 * @param {string} lists declares lists of `length` elements
 * @param {string} read  reads `element` to the i-th place of the lists
 * @param {string} set   passes the lists on
 */
const list = (lists, read, set) => `
      if (IsArray(env, nstatus, &js_value)) {
        uint32_t length;
        nstatus = napi_get_array_length(env, js_value, &length);
        ENSURE_NAPI_OK(env, nstatus);
        ${lists}
        for (uint32_t i = 0; i < length; ++i) {
          napi_value element;
          nstatus = napi_get_element(env, js_value, i, &element);
          ENSURE_NAPI_OK(env, nstatus);
          ${read}
        }
        ${set}
        break;
      }`;

const LISTS = [
  {
    before: 'case TF_ATTR_STRING: {',
    code: list(
      'std::vector<std::string> words(length); std::vector<const void *> starts(length); std::vector<size_t> lengths(length);',
      `nstatus = GetStringParam(env, element, words[i]);
          ENSURE_NAPI_OK(env, nstatus);
          starts[i] = words[i].data();
          lengths[i] = words[i].size();`,
      'TFE_OpSetAttrStringList(tfe_op, attr_name, starts.data(), lengths.data(), static_cast<int>(length));',
    ),
  },
  {
    before: 'case TF_ATTR_TYPE: {',
    code: list(
      'std::vector<TF_DataType> types(length);',
      `int32_t type;
          nstatus = napi_get_value_int32(env, element, &type);
          ENSURE_NAPI_OK(env, nstatus);
          types[i] = static_cast<TF_DataType>(type);`,
      'TFE_OpSetAttrTypeList(tfe_op, attr_name, types.data(), static_cast<int>(length));',
    ),
  },
];

/**
 * The source of tfjs_backend.cc (4.22.0) with lists of words and of types as attributes.
 * @param {string} source
 * @throws {Error} where it is another source
 */
export function withListAttributes(source) {
  return LISTS.reduce((text, {before, code}) => {
    const [head, tail, ...more] = text.split(before);
    if (tail === undefined || more.length > 0)
      throw new Error(
        `tfjs_backend.cc: wanted '${before}' once, found it ${tail === undefined ? 0 : more.length + 1} times`,
      );
    return head + before + code + tail;
  }, source);
}
