// An addon that holds back what native code writes to stderr: begin() starts, end() stops and returns the text.
// TensorFlow's library logs a line about oneDNN while it is being loaded, before it has looked at TF_CPP_MIN_LOG_LEVEL;
// and where it cannot use a GPU, what it logs is the reason. Node has no dup2, hence these few lines. Node's own writes
// are not concerned: nothing of JavaScript runs between the two calls but the `require` of the binding.
#include <string>

#include <node_api.h>
#include <sys/mman.h>
#include <unistd.h>

static int kept = -1, sink = -1;

static napi_value Begin(napi_env, napi_callback_info) {
  if (kept >= 0 || (sink = memfd_create("stderr", MFD_CLOEXEC)) < 0) return nullptr;
  if ((kept = dup(2)) >= 0 && dup2(sink, 2) < 0) {
    close(kept);
    kept = -1;
  }
  return nullptr;
}

static napi_value End(napi_env env, napi_callback_info) {
  std::string text;
  if (kept >= 0) {
    dup2(kept, 2);
    close(kept);
    kept = -1;
    char block[4096];
    ssize_t n;
    for (off_t at = 0; (n = pread(sink, block, sizeof block, at)) > 0; at += n) text.append(block, n);
  }
  if (sink >= 0) close(sink);
  sink = -1;
  napi_value result;
  napi_create_string_utf8(env, text.data(), text.size(), &result);
  return result;
}

extern "C" NAPI_MODULE_EXPORT napi_value napi_register_module_v1(napi_env env, napi_value exports) {
  napi_value begin, end;
  napi_create_function(env, "begin", NAPI_AUTO_LENGTH, Begin, nullptr, &begin);
  napi_create_function(env, "end", NAPI_AUTO_LENGTH, End, nullptr, &end);
  napi_set_named_property(env, exports, "begin", begin);
  napi_set_named_property(env, exports, "end", end);
  return exports;
}
