// TensorFlow.js' binding (4.22.0) as its package brings it lacks two things, which this adds to its source:
// - lists of words and of types as attributes: TensorFlow's fused operations (a product with its bias and GELU) take a
//   list of words that names their parts, and a fused convolution a list of types;
// - `addFunctionDef(bytes)`, which registers a function, so that many operations run as one call of `executeOp`.

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

const METHOD = `
napi_value TFJSBackend::AddFunctionDef(napi_env env, napi_value bytes) {
  void *data;
  size_t length;
  napi_status nstatus = napi_get_typedarray_info(env, bytes, nullptr, &length, &data, nullptr, nullptr);
  ENSURE_NAPI_OK_RETVAL(env, nstatus, nullptr);
  TF_AutoStatus tf_status;
  TFE_ContextAddFunctionDef(tfe_context_, static_cast<const char *>(data), length, tf_status.status);
  ENSURE_TF_OK_RETVAL(env, tf_status, nullptr);
  return nullptr;
}

`;
const CALL = `static napi_value AddFunctionDef(napi_env env, napi_callback_info info) {
  size_t argc = 1;
  napi_value args[1];
  napi_status nstatus = napi_get_cb_info(env, info, &argc, args, nullptr, nullptr);
  ENSURE_NAPI_OK_RETVAL(env, nstatus, nullptr);
  TFJSBackend *const backend = GetTFJSBackend(env);
  if (!backend) return nullptr;
  return backend->AddFunctionDef(env, args[0]);
}

`;
const ENTRY = `      {"addFunctionDef", nullptr, AddFunctionDef, nullptr, nullptr, nullptr, napi_default, nullptr},
`;

/** Code for each file, and the line before which it goes. @type {Record<string, {before: string, code: string}[]>} */
const FUNCTIONS = {
  'tfjs_backend.cc': [{before: 'napi_value TFJSBackend::GetNumOfTensors(', code: METHOD}],
  'tfjs_backend.h': [
    {before: '  napi_value GetNumOfTensors(', code: '  napi_value AddFunctionDef(napi_env env, napi_value bytes);\n'},
  ],
  'tfjs_binding.cc': [
    {before: 'static napi_value GetNumOfTensors(', code: CALL},
    {before: '      {"getNumOfTensors", nullptr,', code: ENTRY},
  ],
};

/** The files that are changed. */
export const CHANGED_SOURCES = Object.keys(FUNCTIONS);

/**
 * One of the binding's source files with what is added to it.
 * @param {string} name one of `CHANGED_SOURCES`
 * @param {string} source
 * @throws {Error} where it is another source
 */
export function changedSource(name, source) {
  const insertions = (FUNCTIONS[name] ?? []).map(({before, code}) => ({before, text: code + before}));
  const lists = name === 'tfjs_backend.cc' ? LISTS : [];
  const all = [...insertions, ...lists.map(({before, code}) => ({before, text: before + code}))];
  return all.reduce((text, {before, text: replacement}) => {
    const [head, tail, ...more] = text.split(before);
    if (tail === undefined || more.length > 0)
      throw new Error(`${name}: wanted '${before}' once, found it ${tail === undefined ? 0 : more.length + 1} times`);
    return head + replacement + tail;
  }, source);
}
