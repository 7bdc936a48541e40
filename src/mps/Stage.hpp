// A filter node brought to life on a device: what a graph runs, in order.
#pragma once

#include "mps/Archive.hpp"
#include "mps/DeferredReload.hpp"
#include "mps/State.hpp"

#include <mpsvk/MPS/CNNKernel.hpp>
#include <mpsvk/MPS/NNGraphNodeBases.hpp>

#include <functional>
#include <memory>

namespace mpsvk::mps {

/// One encode of one stage.
struct StageInputs {
    MTL::CommandBuffer commands;
    std::vector<MPS::ImageBatch> images;
    std::vector<MPS::StateBatch> states;
    std::shared_ptr<MPS::ImageAllocator> allocator;
    std::shared_ptr<MPS::NNPadding> padding; ///< null: the kernel's own
    bool isBatch = true;
    bool wantsStates = false, temporaryStates = false;
    bool resultIsNeeded = true;
    /// The result may lie within a source, and has this format.
    bool mayBePart = false;
    MPS::ImageFeatureChannelFormat format = MPS::ImageFeatureChannelFormat::None;
};

struct StageOutputs {
    MPS::ImageBatch images;
    MPS::StateBatch states;
    std::vector<size_t> copied; ///< of a concatenation or its gradient: the sources copied
};

/// Lets a callback see the images of an encode as soon as they are there, before they are written.
class AskingAllocator : public MPS::ImageAllocator {
public:
    using Ask = std::function<void(const MPS::Image& first)>;
    AskingAllocator(std::shared_ptr<MPS::ImageAllocator> target, Ask ask)
        : target_(std::move(target)), ask_(std::move(ask)) {}
    MPS::Image image(MTL::CommandBuffer commands, MPS::ImageDescriptor d,
                     const MPS::Kernel& kernel) override {
        const MPS::Image made = target_->image(commands, d, kernel);
        ask_(made);
        return made;
    }
    MPS::ImageBatch imageBatch(MTL::CommandBuffer commands, MPS::ImageDescriptor d,
                               const MPS::Kernel& kernel, uint64_t count) override {
        const MPS::ImageBatch made = target_->imageBatch(commands, d, kernel, count);
        ask_(made.at(0));
        return made;
    }

private:
    std::shared_ptr<MPS::ImageAllocator> target_;
    Ask ask_;
};

class Stage {
public:
    virtual ~Stage() = default;
    virtual StageOutputs encode(const StageInputs& in) = 0;
    virtual MPS::Kernel& kernel() = 0;

    /// Identifies the data source, so that kernels that share one are reloaded together; null:
    /// none.
    virtual const void* dataSource() const { return nullptr; }
    virtual void reloadFromDataSource() {}
    /// The parameters in use as a data source for an archive, for sources that are not
    /// SecureCoding.
    virtual std::shared_ptr<MPS::SecureCoding> dataSourceByValue() {
        return Archive::dataSourceOf(kernel());
    }
    /// Those that another stage of the same node's class has in use.
    virtual void takeParameters(Stage& other) { (void)other; }
    /// Loads parameters that an update has produced; the state's class tells which.
    /// True: encodes are other commands from now on (a convolution without biases has got some).
    virtual bool reload(const MTL::CommandBuffer&, const MPS::State&) { return false; }
    /// Changes with whatever decides which commands `reload` records for a state. 0: unknown.
    virtual uint64_t reloadVersion() const { return 0; }
    /// Commands that `reload` has recorded once are in this command buffer, too.
    virtual void reloadedAgain(const MTL::CommandBuffer&) {}

    /// For the gradient stages of trainable nodes.
    virtual bool isTrainable() const { return false; }
    /// Asks the data source for updates with the gradients in `states`: what is to be loaded, an
    /// empty state for no change.
    virtual MPS::StateBatch update(const MTL::CommandBuffer&, const MPS::StateBatch&, Stage&) {
        return {};
    }
    /// The same on the host; true: reload from the data source.
    virtual bool updateOnHost(const MPS::StateBatch&, Stage&, const MPS::State&) { return false; }
    /// The parameters in use as a state, for an update.
    virtual MPS::State exportParameters(const MTL::CommandBuffer&, bool) { return {}; }
    /// False when an encode may differ from the last in more than its images (a user's callback
    /// decides): then the graph encodes it anew each time.
    virtual bool replays() const { return true; }
    /// The commands of the latest encode are gone: what it made on the device is not there.
    virtual void encodeWasUndone() {}
    /// Whether the result depends on how often the kernel was encoded (dropout), and that number.
    virtual bool countsEncodes() const { return false; }
    virtual void setEncodeCount(uint64_t) {}
    /// `reloadFromDataSource` for an update on the host; empty: there is nothing to reload.
    virtual DeferredReload deferredReload() { return {}; }
};

/// A kernel with one source.
template <class K> class UnaryStage : public Stage {
public:
    explicit UnaryStage(K kernel) : kernel_(std::move(kernel)) {}
    MPS::Kernel& kernel() override { return kernel_; }
    StageOutputs encode(const StageInputs& in) override {
        if (in.padding) kernel_.setPadding(in.padding);
        kernel_.setDestinationImageAllocator(in.allocator);
        StageOutputs out;
        MPS::StateBatch* states = in.wantsStates ? &out.states : nullptr;
        if (in.isBatch) {
            out.images = kernel_.encodeBatch(in.commands, in.images[0], states, in.temporaryStates);
        } else {
            MPS::State state;
            out.images = {kernel_.encode(in.commands, in.images[0][0], states ? &state : nullptr,
                                         in.temporaryStates)};
            if (state) out.states = {state};
        }
        return out;
    }

protected:
    K kernel_;
};

/// A kernel with two sources.
template <class K> class BinaryStage : public Stage {
public:
    explicit BinaryStage(K kernel) : kernel_(std::move(kernel)) {}
    MPS::Kernel& kernel() override { return kernel_; }
    StageOutputs encode(const StageInputs& in) override {
        if (in.padding) kernel_.setPadding(in.padding);
        kernel_.setDestinationImageAllocator(in.allocator);
        StageOutputs out;
        MPS::StateBatch* states = in.wantsStates ? &out.states : nullptr;
        if (in.isBatch) {
            out.images = kernel_.encodeBatch(in.commands, in.images[0], in.images[1], states,
                                             in.temporaryStates);
        } else {
            MPS::State state;
            out.images = {kernel_.encode(in.commands, in.images[0][0], in.images[1][0],
                                         states ? &state : nullptr, in.temporaryStates)};
            if (state) out.states = {state};
        }
        return out;
    }

protected:
    K kernel_;
};

/// A gradient kernel: gradient, forward image, state.
template <class K> class GradientStage : public Stage {
public:
    explicit GradientStage(K kernel) : kernel_(std::move(kernel)) {}
    MPS::Kernel& kernel() override { return kernel_; }
    StageOutputs encode(const StageInputs& in) override {
        kernel_.setDestinationImageAllocator(in.allocator);
        StageOutputs out;
        if (in.isBatch)
            out.images = kernel_.encodeBatch(in.commands, in.images[0], in.images[1], in.states[0]);
        else
            out.images = {
                kernel_.encode(in.commands, in.images[0][0], in.images[1][0], in.states[0][0])};
        return out;
    }

protected:
    K kernel_;
};

} // namespace mpsvk::mps
