/* rules.c -- the table of cleaning rules, and applying several in turn. */
#include "text/rules.h"

#include "text/rules_edit.h"

const kk_rule kk_rules[] = {
  {"entities", "HTML entities and what is left of them: &amp;lt; -> <, &#39; -> ', <br> -> a new line", true, kk_rule_entities},
  {"escapes", "<U+1F923>, as R writes emoji -> the character", true, kk_rule_escapes},
  {"fancy", "letters in mathematical, circled or full-width dress (𝗵𝗼𝗹𝗮) -> plain ones", true, kk_rule_fancy},
  {"nfc", "one spelling of each accented letter (Unicode NFC)", true, kk_rule_nfc},
  {"control", "control and invisible characters go, every kind of space -> a space, every line end -> \\n", true, kk_rule_control},
  {"urls", "web addresses -> xxurl", true, kk_rule_urls},
  {"users", "@name -> xxuser: nobody's name enters a vocabulary", true, kk_rule_users},
  {"hashtags", "#TwoWords2 -> # Two Words 2", false, kk_rule_hashtags},
  {"newlines", "line ends -> xxnl, with spaces around it", true, kk_rule_newlines},
  {"word_repeats", "a word 4 times or more -> xxwrep n w", true, kk_rule_word_repeats},
  {"caps", "words of 3 letters or more in capitals -> xxup and the word in lower case", true, kk_rule_caps},
  {"maj", "Capitalised words -> xxmaj and the word in lower case (goes before lower)", false, kk_rule_maj},
  {"lower", "all letters -> lower case", true, kk_rule_lower},
  {"char_repeats", "a character 4 times or more -> xxrep n c", true, kk_rule_char_repeats},
  {"spaces", "spaces around / # ? ! @ , and the Spanish opening marks", true, kk_rule_spaces},
  {"squeeze", "several spaces -> one; none at the ends", true, kk_rule_squeeze},
  {0},
};

const kk_rule *kk_rule_find(const char *name) {
  for (const kk_rule *r = kk_rules; r->name; r++)
    if (strcmp(r->name, name) == 0) return r;
  return NULL;
}

kk_status kk_rules_apply(const kk_rule *const *rules, size_t nrules, const char *s, size_t n, kk_buf *out, kk_err *e) {
  kk_buf b[2];
  kk_status st = kk_utf8_require(s, n, "text", e);
  if (st) return kk_buf_free(out), st;
  kk_buf_init(&b[0], KK_RULES_MAX);
  kk_buf_init(&b[1], KK_RULES_MAX);
  for (size_t i = 0; i < nrules && !st; i++) {
    kk_buf *to = &b[i & 1];
    kk_buf_clear(to);
    st = rules[i]->apply(s, n, to, e);
    s = to->p ? to->p : "";
    n = to->n;
  }
  if (st)
    kk_buf_free(out);
  else
    st = kk_buf_add(out, s, n, e);
  kk_buf_free(&b[0]);
  kk_buf_free(&b[1]);
  return st;
}
