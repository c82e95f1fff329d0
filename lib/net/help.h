/* Paragraphs for --help; static storage. */
#ifndef FX_NET_HELP_H
#define FX_NET_HELP_H

const char *fx_arch_help(void);  /* the architectures */
const char *fx_model_help(void); /* the fusions, then the architectures */

#endif
