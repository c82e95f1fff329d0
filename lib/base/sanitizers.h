/* What a file is compiled with: clang answers a question where gcc defines a macro. */
#ifndef FX_BASE_SANITIZERS_H
#define FX_BASE_SANITIZERS_H

#ifdef __has_feature
#if __has_feature(address_sanitizer) && !defined(__SANITIZE_ADDRESS__)
#define __SANITIZE_ADDRESS__ 1
#endif
#if __has_feature(thread_sanitizer) && !defined(__SANITIZE_THREAD__)
#define __SANITIZE_THREAD__ 1
#endif
#endif

#endif
