/* spm_shim.cc -- the one file that talks to SentencePiece (C++). Catches everything; statuses and
** exceptions become kk_err. */
#include <sentencepiece_processor.h>
#include <sentencepiece_trainer.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstring>
#include <fstream>
#include <mutex>
#include <new>
#include <pthread.h>
#include <string>
#include <thread>
#include <unistd.h>
#include <unordered_map>
#include <vector>

extern "C" {
#include "base/file.h"
#include "base/mem.h"
#include "base/pool.h"
#include "base/stop.h"
#include "text/utf8.h"
}
#include "text/spm.h"

namespace sentencepiece {
namespace logging {
void SetMinLogLevel(int level);   // exported, though not in a public header
}
}  // namespace sentencepiece

struct kk_spm {
  std::atomic<int> refs{1};
  bool by_word = false;
  sentencepiece::SentencePieceProcessor sp;
};

namespace {

constexpr size_t kMaxModel = size_t(1) << 28, kMaxText = size_t(1) << 28;

kk_status fail(kk_err *e, const char *what, const sentencepiece::util::Status &st) {
  const char *why = st.error_message(), *end = strstr(why, "] ");   // "./src/x.cc(1) [condition] words"
  if (end && end[2]) why = end + 2;
  return kk_fail(e, KK_EFORMAT, "%s: %s", what, why);
}

// Runs f, which answers a kk_status, and turns what it throws into one.
template <typename F>
kk_status guarded(kk_err *e, const char *what, F f) {
  try {
    return f();
  } catch (const std::bad_alloc &) {
    return kk_fail(e, KK_ENOMEM, "%s: out of memory", what);
  } catch (const std::exception &x) {
    return kk_fail(e, KK_EFORMAT, "%s: %s", what, x.what());
  } catch (...) {
    return kk_fail(e, KK_EFORMAT, "%s: the SentencePiece library failed", what);
  }
}

kk_status check_text(const char *text, size_t len, kk_err *e) {
  if (len > kMaxText) return kk_fail(e, KK_EARG, "text: %zu bytes, at most %zu can be encoded at once", len, kMaxText);
  return kk_utf8_require(text, len, "text", e);
}

kk_status hand_over(const std::vector<int> &v, int32_t **ids, size_t *n, kk_err *e) {
  int32_t *p = static_cast<int32_t *>(kk_alloc(v.size() * sizeof *p));
  if (!p) return kk_fail(e, KK_ENOMEM, "encode: out of memory for %zu ids", v.size());
  for (size_t i = 0; i < v.size(); i++) p[i] = v[i];
  *ids = p;
  *n = v.size();
  return KK_OK;
}

struct Job {
  const kk_spm *m;
  const char *const *texts;
  const size_t *lens;
  int32_t prefix, suffix;
  size_t grain;                            // texts a chunk
  std::vector<std::vector<int32_t>> out;   // one a chunk
  std::vector<kk_err> errs;                // one a chunk
  int64_t *counts;                         // one a text
};

// The words of one chunk that were met: where their ids stand in the chunk's output. Most words of a
// tweet were met before, and the library takes 2 to 3 times as long as looking them up.
typedef std::unordered_map<absl::string_view, std::pair<size_t, size_t>> Words;

sentencepiece::util::Status encode_words(const kk_spm *m, absl::string_view text, Words *seen,
                                         std::vector<int> *scratch, std::vector<int32_t> *out) {
  for (size_t i = 0; i < text.size();) {
    size_t end = text.find(' ', i);
    if (end == absl::string_view::npos) end = text.size();
    absl::string_view word = text.substr(i, end - i);
    i = end + 1;
    if (word.empty()) continue;
    auto met = seen->emplace(word, std::make_pair(out->size(), size_t(0)));
    size_t from = met.first->second.first;
    if (met.second) {
      auto st = m->sp.Encode(word, scratch);
      if (!st.ok()) return st;
      met.first->second.second = scratch->size();
      out->insert(out->end(), scratch->begin(), scratch->end());
    } else {
      size_t n = met.first->second.second, to = out->size();
      out->resize(to + n);
      std::copy_n(out->begin() + long(from), n, out->begin() + long(to));
    }
  }
  return sentencepiece::util::Status();
}

kk_status encode_chunk(Job *job, size_t begin, size_t end, kk_err *e) {
  std::vector<int32_t> &out = job->out[begin / job->grain];
  std::vector<int> ids;
  Words seen;
  for (size_t i = begin; i < end; i++) {
    absl::string_view text(job->texts[i], job->lens[i]);
    size_t before = out.size();
    kk_err why;
    if (check_text(job->texts[i], job->lens[i], &why) != KK_OK)
      return kk_fail(e, why.code, "text %zu: %s", i + 1, why.msg);
    if (job->prefix >= 0) out.push_back(job->prefix);
    auto st = job->m->by_word ? encode_words(job->m, text, &seen, &ids, &out) : job->m->sp.Encode(text, &ids);
    if (!st.ok()) return kk_fail(e, KK_EFORMAT, "text %zu: %s", i + 1, st.error_message());
    if (!job->m->by_word) out.insert(out.end(), ids.begin(), ids.end());
    if (job->suffix >= 0) out.push_back(job->suffix);
    job->counts[i] = static_cast<int64_t>(out.size() - before);
  }
  return KK_OK;
}

void job_chunk(void *arg, int64_t begin, int64_t end) {
  Job *job = static_cast<Job *>(arg);
  size_t c = static_cast<size_t>(begin) / job->grain;
  kk_err e;
  if (kk_stop_requested()) return;
  kk_status st = guarded(&e, "encode", [&] { return encode_chunk(job, size_t(begin), size_t(end), &e); });
  if (st != KK_OK) job->errs[c] = e;
}

// The lines of a file, one at a time.
class Lines : public sentencepiece::SentenceIterator {
 public:
  explicit Lines(const char *path) : in_(path) { Next(); }
  bool opened() const { return in_.is_open(); }
  bool done() const override { return done_; }
  void Next() override { done_ = !std::getline(in_, line_); }
  const std::string &value() const override { return line_; }
  sentencepiece::util::Status status() const override { return sentencepiece::util::Status(); }

 private:
  std::ifstream in_;
  std::string line_;
  bool done_ = false;
};

void *watch_parent(void *) {
  char c;
  while (read(0, &c, 1) > 0) {}
  kill(getpid(), SIGKILL);
  return nullptr;
}

}  // namespace

extern "C" {

kk_status kk_spm_parse(const void *bytes, size_t n, const char *what, kk_spm **out, kk_err *e) {
  kk_status st = kk_spm_check(bytes, n, what, e);
  if (st != KK_OK) return st;
  kk_spm *m = nullptr;
  st = guarded(e, what, [&] {
    sentencepiece::logging::SetMinLogLevel(3);   // its errors are our answers
    m = new kk_spm;
    auto s = m->sp.LoadFromSerializedProto(absl::string_view(static_cast<const char *>(bytes), n));
    if (!s.ok()) return fail(e, what, s);
    m->by_word = kk_spm_by_word(bytes, n) && m->sp.PieceToId("\xE2\x96\x81") != m->sp.unk_id();
    return KK_OK;
  });
  if (st != KK_OK) {
    delete m;
    return st;
  }
  *out = m;
  return KK_OK;
}

kk_status kk_spm_load(const char *path, kk_spm **out, kk_err *e) {
  kk_buf b;
  kk_buf_init(&b, kMaxModel);
  kk_err why;
  kk_status st = kk_file_read(path, &b, &why);
  if (st == KK_EFORMAT) st = kk_fail(e, st, "%s: too large for a model: %s", path, why.msg);
  else if (st != KK_OK) *e = why;
  if (st == KK_OK) st = kk_spm_parse(b.p ? b.p : "", b.n, path, out, e);
  kk_buf_free(&b);
  return st;
}

kk_spm *kk_spm_ref(kk_spm *m) {
  m->refs++;
  return m;
}

void kk_spm_unref(kk_spm *m) {
  if (m && --m->refs == 0) delete m;
}

int32_t kk_spm_size(const kk_spm *m) { return m->sp.GetPieceSize(); }

int32_t kk_spm_id(const kk_spm *m, const char *piece) {
  int id = -1;
  kk_err e;
  guarded(&e, "piece", [&] {
    id = m->sp.PieceToId(piece);
    if (m->sp.IdToPiece(id) != piece) id = -1;   // unknown pieces answer the unknown id
    return KK_OK;
  });
  return id;
}

const char *kk_spm_piece(const kk_spm *m, int32_t id) {
  return id >= 0 && id < kk_spm_size(m) ? m->sp.IdToPiece(id).c_str() : nullptr;
}

double kk_spm_score(const kk_spm *m, int32_t id) {
  return id >= 0 && id < kk_spm_size(m) ? double(m->sp.GetScore(id)) : 0;
}

int32_t kk_spm_special_id(const kk_spm *m, kk_spm_special s) {
  switch (s) {
    case KK_SPM_UNK: return m->sp.unk_id();
    case KK_SPM_BOS: return m->sp.bos_id();
    case KK_SPM_EOS: return m->sp.eos_id();
    default: return m->sp.pad_id();
  }
}

kk_status kk_spm_encode(const kk_spm *m, const char *text, size_t len, int32_t **ids, size_t *n, kk_err *e) {
  kk_status st = check_text(text, len, e);
  if (st != KK_OK) return st;
  return guarded(e, "encode", [&] {
    std::vector<int> v;
    auto s = m->sp.Encode(absl::string_view(text, len), &v);
    return s.ok() ? hand_over(v, ids, n, e) : fail(e, "encode", s);
  });
}

// The library draws from a generator that is made once a thread from a global seed; a fresh thread
// for each call makes the result a function of our seed alone.
kk_status kk_spm_sample(const kk_spm *m, const char *text, size_t len, double alpha, uint32_t seed, int32_t **ids,
                        size_t *n, kk_err *e) {
  static std::mutex lock;
  kk_status st = check_text(text, len, e);
  if (st != KK_OK) return st;
  return guarded(e, "sample", [&] {
    std::lock_guard<std::mutex> hold(lock);
    std::vector<int> v;
    kk_status done = KK_OK;
    std::thread worker([&] {
      done = guarded(e, "sample", [&] {
        sentencepiece::SetRandomGeneratorSeed(seed);
        auto s = m->sp.SampleEncode(absl::string_view(text, len), -1, float(alpha), &v);
        return s.ok() ? KK_OK : fail(e, "sample", s);
      });
    });
    worker.join();
    return done != KK_OK ? done : hand_over(v, ids, n, e);
  });
}

kk_status kk_spm_encode_many(const kk_spm *m, size_t n, const char *const *texts, const size_t *lens, int32_t prefix,
                             int32_t suffix, int32_t **ids, size_t *nids, int64_t **offsets, kk_err *e) {
  size_t grain = n / 32 < 64 ? 64 : n / 32 > 4096 ? 4096 : n / 32;   // by n alone: the same cut for any threads
  size_t chunks = (n + grain - 1) / grain, total = 0;
  int64_t *at = static_cast<int64_t *>(kk_alloc((n + 1) * sizeof *at));
  int32_t *all = nullptr;
  if (!at) return kk_fail(e, KK_ENOMEM, "encode: out of memory for %zu texts", n);
  kk_status st = guarded(e, "encode", [&] {
    Job job{m, texts, lens, prefix, suffix, grain, {}, {}, at + 1};
    job.out.resize(chunks);
    job.errs.resize(chunks);
    kk_pool_for(int64_t(n), int64_t(grain), job_chunk, &job);
    kk_status bad = kk_stop_check(e, "encode");
    if (bad != KK_OK) return bad;
    for (size_t c = 0; c < chunks; c++) {
      if (job.errs[c].code != KK_OK) return *e = job.errs[c], e->code;
      total += job.out[c].size();
    }
    all = static_cast<int32_t *>(kk_alloc(total * sizeof *all));
    if (!all) return kk_fail(e, KK_ENOMEM, "encode: out of memory for %zu ids", total);
    size_t k = 0;
    for (const auto &part : job.out)
      for (int32_t id : part) all[k++] = id;
    at[0] = 0;
    for (size_t i = 0; i < n; i++) at[i + 1] += at[i];
    return KK_OK;
  });
  if (st != KK_OK) {
    kk_free(at, (n + 1) * sizeof *at);
    return st;
  }
  *ids = all;
  *nids = total;
  *offsets = at;
  return KK_OK;
}

kk_status kk_spm_decode(const kk_spm *m, const int32_t *ids, size_t n, kk_buf *out, kk_err *e) {
  for (size_t i = 0; i < n; i++)
    if (ids[i] < 0 || ids[i] >= kk_spm_size(m)) {
      kk_buf_free(out);
      return kk_fail(e, KK_EARG, "decode: id %zu is %ld, the model has ids 1 to %ld", i + 1, long(ids[i]) + 1,
                     long(kk_spm_size(m)));
    }
  kk_status st = guarded(e, "decode", [&] {
    std::string text;
    auto s = m->sp.Decode(std::vector<int>(ids, ids + n), &text);
    if (!s.ok()) return kk_buf_free(out), fail(e, "decode", s);
    return kk_buf_add(out, text.data(), text.size(), e);
  });
  return st;
}

kk_status kk_spm_train(const char *input, const char *path, const char *const *args, int verbose, kk_err *e) {
  pthread_t watcher;
  signal(SIGINT, SIG_DFL);
  if (pthread_create(&watcher, nullptr, watch_parent, nullptr) == 0) pthread_detach(watcher);
  return guarded(e, "train", [&] {
    std::unordered_map<std::string, std::string> words;
    std::string model;
    for (size_t i = 0; args[i] && args[i + 1]; i += 2) words[args[i]] = args[i + 1];
    words["minloglevel"] = verbose ? "0" : "1";
    Lines lines(input);
    if (!lines.opened()) return kk_fail(e, KK_EIO, "%s: cannot be read", input);
    sentencepiece::SetRandomGeneratorSeed(1);
    auto st = sentencepiece::SentencePieceTrainer::Train(words, &lines, &model);
    if (!st.ok()) return fail(e, "train", st);
    kk_outfile o;
    kk_status bad = kk_outfile_open(&o, path, e);
    if (bad != KK_OK) return bad;
    bad = kk_outfile_write(&o, model.data(), model.size(), e);
    if (bad == KK_OK) bad = kk_outfile_commit(&o, e);
    if (bad != KK_OK) kk_outfile_abort(&o);
    return bad;
  });
}

}  // extern "C"
