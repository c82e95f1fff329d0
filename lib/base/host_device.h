/* Arithmetic that has one home: FX_HD marks inline functions of headers that C and CUDA kernels
 * share, so that both round alike.  Kernels that promise the host's numbers are compiled without
 * fused multiply-add. */
#ifndef FX_BASE_HOST_DEVICE_H
#define FX_BASE_HOST_DEVICE_H

#ifdef __CUDACC__
#define FX_HD __host__ __device__
#else
#define FX_HD
#endif

#endif
