/* Matrix products in plain loops, for the stand-ins of cuBLASLt and cuDNN. */
#ifndef CUDA_SIM_SIM_PRODUCT_H
#define CUDA_SIM_SIM_PRODUCT_H

#include <cstddef>
#include <vector>

namespace cuda_sim
{

/* Numbers in device memory as floats: f32, or bf16 rounded to the nearest even value. */
struct values {
    void *data; /* borrowed */
    bool bf16;

    float get(size_t i) const;
    void set(size_t i, float value) const;
    size_t bytes(size_t n) const
    {
        return n * (bf16 ? 2 : 4);
    }
};

/* c[m, n] += a[m, k] b[k, n], all packed rows.  Sums of a few products are float, those of the sums
 * double. */
void multiply_add(size_t m, size_t n, size_t k, const std::vector<float> &a,
                  const std::vector<float> &b, std::vector<double> &c);

/* Made-up times, for what is chosen by time: CUDA_SIM_MS, "A B C", are milliseconds of a product,
 * of each term of its sums, and of a convolution.  A negative one fails: a product when it is run,
 * a convolution when it is planned. */
enum class made_up { PRODUCT, DEPTH, CONVOLUTION };
double made_up_ms(made_up of);

/* What a vendor's library may do to the workspace that it is given. */
void scribble(void *workspace, size_t bytes);

} // namespace cuda_sim

#endif
