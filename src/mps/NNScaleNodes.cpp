#include "mps/NNNodeClasses.hpp"

#include <mpsvk/Error.hpp>
#include <mpsvk/MPS/ImageScale.hpp>
#include <mpsvk/MPS/NNScaleNodes.hpp>

namespace mpsvk::MPS {

namespace {

using Provider = std::shared_ptr<ImageTransformProvider>;

struct Scaling {
    Provider provider;
    std::shared_ptr<Handle> handle;
    MTL::Size size;
};

bool areSame(const ScaleTransform& a, const ScaleTransform& b) {
    return a.scaleX == b.scaleX && a.scaleY == b.scaleY && a.translateX == b.translateX &&
           a.translateY == b.translateY;
}

template <class K> class ScaleStage : public mps::Stage {
public:
    ScaleStage(const MTL::Device& device, Scaling scaling)
        : kernel_(device), scaling_(std::move(scaling)) {}
    MPS::Kernel& kernel() override { return kernel_; }
    bool replays() const override { return !scaling_.provider; }
    mps::StageOutputs encode(const mps::StageInputs& in) override {
        const ImageBatch& sources = in.images[0];
        ImageDescriptor d(sources[0].featureChannelFormat(), scaling_.size.width,
                          scaling_.size.height, sources[0].featureChannels(),
                          sources[0].numberOfImages());
        d.setStorage(sources[0].storage());
        mps::StageOutputs out;
        if (!in.isBatch) {
            if (scaling_.provider) kernel_.setScaleTransform(ask(sources[0]));
            out.images = {in.allocator->image(in.commands, d, kernel_)};
            kernel_.encode(in.commands, sources[0], out.images[0]);
            return out;
        }
        out.images = in.allocator->imageBatch(in.commands, d, kernel_, sources.size());
        if (!scaling_.provider) {
            kernel_.encodeBatch(in.commands, sources, out.images);
            return out;
        }
        std::vector<ScaleTransform> transforms;
        for (const Image& source : sources) transforms.push_back(ask(source));
        // Stretches of images with one transform. Each encode counts as a reader.
        for (size_t first = 0, end = 0; first < sources.size(); first = end) {
            while (end < sources.size() && areSame(transforms[end], transforms[first])) ++end;
            const auto part = [&](const ImageBatch& all) {
                return ImageBatch(all.begin() + ptrdiff_t(first), all.begin() + ptrdiff_t(end));
            };
            const ImageBatch now = part(sources);
            for (const Image& image : now) // one that comes again is read again
                if (std::find(sources.begin() + ptrdiff_t(end), sources.end(), image) !=
                    sources.end())
                    ImageBatchIncrementReadCount({image}, 1);
            kernel_.setScaleTransform(transforms[first]);
            kernel_.encodeBatch(in.commands, now, part(out.images));
        }
        return out;
    }

private:
    ScaleTransform ask(const Image& source) const {
        return scaling_.provider->transform(source, scaling_.handle);
    }
    K kernel_;
    const Scaling scaling_;
};

struct ScaleNode : NNFilterNode::Impl {
    ScaleNode(const char* name, const NNImageNode& source, Provider provider,
              const MTL::Size& outputSize)
        : Impl(name, {source}), provider(std::move(provider)), size(outputSize) {
        checkSize();
    }
    void checkSize() const {
        if (size.width == 0 || size.height == 0 || size.depth != 1)
            throw InvalidArgument(subject() + "outputSize is " + std::to_string(size.width) + "x" +
                                  std::to_string(size.height) + "x" + std::to_string(size.depth) +
                                  " but must have a pixel and the depth 1.");
    }
    void check() const override {
        checkSize(); // from an archive
        if (padding && uint64_t(padding->paddingMethod() & NNPaddingMethod::Custom))
            throw InvalidArgument(subject() + "The padding policy is a custom one but outputSize "
                                              "alone gives the result's size.");
    }
    std::unique_ptr<mps::Stage> makeStage(const MTL::Device& device) const override {
        const Scaling scaling{provider, sources[0].handle(), size};
        if (className == "NNLanczosScaleNode")
            return std::make_unique<ScaleStage<ImageLanczosScale>>(device, scaling);
        return std::make_unique<ScaleStage<ImageBilinearScale>>(device, scaling);
    }
    void archive(mps::Archive& archive) override {
        archive("outputSize", size);
        archive.object("transformProvider", provider, "The transform provider");
    }
    Provider provider;
    MTL::Size size;
};

const ScaleNode& of(const NNFilterNode& node) { return static_cast<const ScaleNode&>(node.impl()); }

bool isNamed(const detail::ObjectImpl& object, const char* className) {
    const auto* node = dynamic_cast<const ScaleNode*>(&object);
    return node && node->className == className;
}

} // namespace

NNScaleNode::NNScaleNode(const char* className, const NNImageNode& source, Provider provider,
                         const MTL::Size& outputSize)
    : NNFilterNode(
          std::make_shared<ScaleNode>(className, source, std::move(provider), outputSize)) {}
MTL::Size NNScaleNode::outputSize() const { return of(*this).size; }
Provider NNScaleNode::transformProvider() const { return of(*this).provider; }

NNBilinearScaleNode::NNBilinearScaleNode(const NNImageNode& source, const MTL::Size& outputSize)
    : NNBilinearScaleNode(source, nullptr, outputSize) {}
NNBilinearScaleNode::NNBilinearScaleNode(const NNImageNode& source, Provider provider,
                                         const MTL::Size& outputSize)
    : NNScaleNode("NNBilinearScaleNode", source, std::move(provider), outputSize) {}
NNLanczosScaleNode::NNLanczosScaleNode(const NNImageNode& source, const MTL::Size& outputSize)
    : NNLanczosScaleNode(source, nullptr, outputSize) {}
NNLanczosScaleNode::NNLanczosScaleNode(const NNImageNode& source, Provider provider,
                                       const MTL::Size& outputSize)
    : NNScaleNode("NNLanczosScaleNode", source, std::move(provider), outputSize) {}

bool NNScaleNode::isKindOf(const detail::ObjectImpl& o) { return isAny<ScaleNode>(o); }
bool NNBilinearScaleNode::isKindOf(const detail::ObjectImpl& o) {
    return isNamed(o, "NNBilinearScaleNode");
}
bool NNLanczosScaleNode::isKindOf(const detail::ObjectImpl& o) {
    return isNamed(o, "NNLanczosScaleNode");
}

} // namespace mpsvk::MPS

namespace mpsvk::mps {

void addScaleNodes(NodeClasses& all) {
    using namespace MPS;
    const Provider none;
    const MTL::Size one{1, 1, 1};
    for (const char* name : {"NNBilinearScaleNode", "NNLanczosScaleNode"})
        all.addUnary<ScaleNode>(name, none, one);
}

} // namespace mpsvk::mps
