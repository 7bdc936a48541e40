// The encodes of kernels with one source and with two.
#include <mpsvk/MPS/NDArrayKernel.hpp>

namespace mpsvk::MPS {

using List = std::vector<NDArray>;
using Commands = MTL::CommandBuffer;

NDArray NDArrayUnaryKernel::encode(const Commands& commandBuffer, const NDArray& source) {
    return encode(commandBuffer, List{source});
}
void NDArrayUnaryKernel::encode(const Commands& commandBuffer, const NDArray& source,
                                const NDArray& destination) {
    encode(commandBuffer, List{source}, destination);
}
NDArray NDArrayUnaryKernel::encode(const Commands& commandBuffer, const NDArray& source,
                                   State* state, bool outputStateIsTemporary) {
    return encode(commandBuffer, List{source}, state, outputStateIsTemporary);
}
void NDArrayUnaryKernel::encode(const Commands& commandBuffer, const NDArray& source,
                                const State& state, const NDArray& destination) {
    encode(commandBuffer, List{source}, state, destination);
}

NDArray NDArrayBinaryKernel::encode(const Commands& commandBuffer, const NDArray& primary,
                                    const NDArray& secondary) {
    return encode(commandBuffer, List{primary, secondary});
}
void NDArrayBinaryKernel::encode(const Commands& commandBuffer, const NDArray& primary,
                                 const NDArray& secondary, const NDArray& destination) {
    encode(commandBuffer, List{primary, secondary}, destination);
}
NDArray NDArrayBinaryKernel::encode(const Commands& commandBuffer, const NDArray& primary,
                                    const NDArray& secondary, State* state,
                                    bool outputStateIsTemporary) {
    return encode(commandBuffer, List{primary, secondary}, state, outputStateIsTemporary);
}
void NDArrayBinaryKernel::encode(const Commands& commandBuffer, const NDArray& primary,
                                 const NDArray& secondary, const State& state,
                                 const NDArray& destination) {
    encode(commandBuffer, List{primary, secondary}, state, destination);
}

NDArray NDArrayUnaryGradientKernel::encode(const Commands& commandBuffer, const NDArray& source,
                                           const NDArray& gradient, const State& state) {
    return encode(commandBuffer, List{source}, gradient, state);
}
void NDArrayUnaryGradientKernel::encode(const Commands& commandBuffer, const NDArray& source,
                                        const NDArray& gradient, const State& state,
                                        const NDArray& destination) {
    encode(commandBuffer, List{source}, gradient, state, destination);
}

NDArray NDArrayBinaryGradientKernel::encode(const Commands& commandBuffer, const NDArray& primary,
                                            const NDArray& secondary, const NDArray& gradient,
                                            const State& state) {
    return encode(commandBuffer, List{primary, secondary}, gradient, state);
}
void NDArrayBinaryGradientKernel::encode(const Commands& commandBuffer, const NDArray& primary,
                                         const NDArray& secondary, const NDArray& gradient,
                                         const State& state, const NDArray& destination) {
    encode(commandBuffer, List{primary, secondary}, gradient, state, destination);
}

} // namespace mpsvk::MPS
