// MPSCNNDropout, its gradient, and the state between them.
#pragma once

#include <mpsvk/MPS/CNNNeuron.hpp>

namespace mpsvk::MPS {

/// The mask of a forward pass. One state belongs to one image of a batch; the masks of a batch lie
/// in one allocation. MPSCNNDropoutGradientState.
class CNNDropoutGradientState : public NNGradientState {
public:
    CNNDropoutGradientState() = default;
    /// One byte, 0 or 1, for each mask element, in the order [y][x][channel] of the forward clip
    /// rectangle and the channels it processed; an axis with the mask stride 0 has the size 1. Of
    /// an array of images the masks follow each other. Undefined before the forward pass ran.
    /// Throws InvalidArgument for a temporary state, and while the forward pass is not completed.
    std::vector<std::byte> maskData() const;

    static bool isKindOf(const detail::ObjectImpl&);
    struct Impl;
    explicit CNNDropoutGradientState(std::shared_ptr<Impl> impl);
};

/// Y = m*X / p, where each element m of the mask is 1 with the probability p = keepProbability,
/// else 0. maskStrideInPixels is 1 along an axis (x, y, channel) with an element for each position,
/// and 0 along one with the same element for all.
///
/// m = (r >> 8) * 2^-24 < p, where r is word e % 4 of Philox4x32-10 with the key `seed` and the
/// counter {e / 4, the image's index in the batch, encodeCount low, encodeCount high}; e numbers
/// the mask's elements in the order of maskData. So every encode has another mask, and the same
/// program has the same masks on every device. MPSCNNDropout.
class CNNDropout : public CNNKernel {
public:
    /// Throws InvalidArgument unless 0 < keepProbability <= 1 and each stride is 0 or 1. With 1 the
    /// source is copied.
    CNNDropout(const MTL::Device& device, float keepProbability, uint64_t seed,
               const MTL::Size& maskStrideInPixels);
    CNNDropout(KeyedUnarchiver& coder, const MTL::Device& device);
    /// A copy has its own count and starts at 0 again; a moved-from kernel does so too.
    CNNDropout(const CNNDropout& other);
    CNNDropout(CNNDropout&& other) noexcept;
    CNNDropout& operator=(const CNNDropout& other);
    CNNDropout& operator=(CNNDropout&& other) noexcept;

    float keepProbability() const { return keepProbability_; }
    uint64_t seed() const { return seed_; }
    MTL::Size maskStrideInPixels() const { return maskStride_; }
    /// How many encodes (a batch is one, a replay by a compiled graph is one) were made so far. Not
    /// Apple's: a program that restores it together with the weights goes on bit for bit as if it
    /// had never stopped.
    uint64_t encodeCount() const;
    void setEncodeCount(uint64_t count);
    std::string className() const override { return "CNNDropout"; }
    CNNDropout copy(const MTL::Device& device) const;

private:
    struct Counter;
    void archive(mps::Archive& archive) override;
    void validate(const mps::UnaryPass& pass) const override;
    void dispatch(const mps::UnaryPass& pass) const override;
    StateBatch makeResultStates(const mps::StateRequest& request) const override;

    float keepProbability_;
    uint64_t seed_;
    MTL::Size maskStride_;
    std::shared_ptr<Counter> counter_;
};

/// dX = m*G / p with the mask m of the state, which is needed; it is read at secondaryOffset plus
/// the position in clipRect, and outside it is 0. Of sourceImage only the size counts. The
/// arguments must be those of the forward kernel. MPSCNNDropoutGradient.
class CNNDropoutGradient : public CNNGradientKernel {
public:
    /// Throws InvalidArgument as CNNDropout does.
    CNNDropoutGradient(const MTL::Device& device, float keepProbability, uint64_t seed,
                       const MTL::Size& maskStrideInPixels);
    CNNDropoutGradient(KeyedUnarchiver& coder, const MTL::Device& device);

    float keepProbability() const { return keepProbability_; }
    uint64_t seed() const { return seed_; }
    MTL::Size maskStrideInPixels() const { return maskStride_; }
    std::string className() const override { return "CNNDropoutGradient"; }
    CNNDropoutGradient copy(const MTL::Device& device) const { return copied(*this, device); }

private:
    void archive(mps::Archive& archive) override;
    std::string forwardClassName() const override { return "CNNDropout"; }
    void takeForwardRecord(const mps::ForwardRecord& record) override;
    bool readsSecondary() const override { return bool(neuron_); }
    void validate(const mps::BinaryPass& pass) const override;
    void dispatch(const mps::BinaryPass& pass) const override;

    friend struct mps::NeuronAccess;
    /// Of a graph's activation whose derivative is a factor, or null.
    std::shared_ptr<const mps::FusedNeuron> neuron_;
    float keepProbability_;
    uint64_t seed_;
    MTL::Size maskStride_;
};

} // namespace mpsvk::MPS
