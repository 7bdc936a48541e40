// The images and states of an encode, to recognize them when they come again.
#pragma once

#include <mpsvk/MPS/Image.hpp>
#include <mpsvk/MPS/State.hpp>

#include <memory>
#include <vector>

namespace mpsvk::mps {

/// An object that is recognized as long as it is there. It is not kept alive.
class KnownObject {
public:
    explicit KnownObject(const Object& object)
        : address_(object.shared().get()), owner_(object.shared()) {}
    /// Whether it is the very same. Reads neither.
    bool is(const Object& object) const {
        const auto& now = object.shared();
        return now.get() == address_ && !now.owner_before(owner_) && !owner_.owner_before(now);
    }

private:
    const void* address_;
    /// No other object has this owner while it is kept, wherever it lies.
    std::weak_ptr<const detail::ObjectImpl> owner_;
};

/// What an encode of a graph is given, for as long as it lasts.
struct GraphInputs {
    const std::vector<MPS::ImageBatch>& images;
    const std::vector<MPS::StateBatch>& states;
};

/// Keeps none of them alive.
class KnownInputs {
public:
    void clear() { batches_.clear(); }
    void set(const GraphInputs& inputs);
    /// Whether they are the very same objects in the same batches. Reads none of the objects.
    bool are(const GraphInputs& inputs) const;

private:
    std::vector<std::vector<KnownObject>> batches_;
};

} // namespace mpsvk::mps
