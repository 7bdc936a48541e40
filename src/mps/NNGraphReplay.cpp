// A graph's plans: recorded once for a shape of inputs, replayed with the images of each encode.
#include "mps/NNGraph.hpp"

#include "mtl/Device.hpp"
#include "vk/Device.hpp"
#include "vk/Instance.hpp"

#include <algorithm>

namespace mpsvk::MPS {

namespace {

constexpr size_t mostPlans = 4, mostMisses = 8;

/// A temporary image's part of its heap as a resource of its own.
std::shared_ptr<vk::Resource> resourceOf(mps::ImageStorage& storage) {
    if (!storage.isTemporary() || storage.shape().texture) return storage.resource();
    const vk::BufferSlice& slice = storage.buffer();
    return std::make_shared<vk::Buffer>(slice.buffer, slice.offset, slice.size);
}

/// Those that a batch made at once lies in: one, or more where textures have too few layers.
std::vector<mps::ImageStorage*> storagesOf(const ImageBatch& batch) {
    std::vector<mps::ImageStorage*> storages;
    for (const Image& image : batch) {
        mps::ImageStorage* const storage = image.impl().storage.get();
        if (storages.empty() || storages.back() != storage) storages.push_back(storage);
    }
    return storages;
}

bool areTemporary(const std::vector<const Image*>& images) {
    return std::ranges::any_of(images, [](const Image* i) { return i->impl().temporary; });
}

/// Whether it makes images or temporary images and nothing else. Null: that is left to the graph.
bool isLibrarys(const std::shared_ptr<ImageAllocator>& allocator) {
    return !allocator || allocator == Image::defaultAllocator() ||
           allocator == TemporaryImage::defaultAllocator();
}

/// The states as handles that keep `owner`, which has them.
StateBatch lent(const StateBatch& states, const std::shared_ptr<const void>& owner) {
    StateBatch all;
    for (const State& state : states)
        all.push_back(State(std::shared_ptr<State::Impl>(owner, &state.impl())));
    return all;
}

} // namespace

std::string NNGraph::Impl::obstacleToReplay() const {
    if (updatesOnHost())
        return "weights are updated on the host, which may give kernels new memory";
    if (!resultStates.empty() && outputStateIsTemporary)
        return "states that leave the graph are to be temporary, and a plan's live on";
    if (!stepsObstacle.empty()) return stepsObstacle;
    for (const Step* step : policySteps) // which may say something else by now
        if (uint64_t(step->node->padding->paddingMethod() & NNPaddingMethod::Custom))
            return askingObstacle(*step);
    if (!resultsNeeded[0] || isLibrarys(allocator)) return {};
    const auto last = std::ranges::find(steps, results[0], &Step::imageResult);
    return last == steps.end() ? "" : allocatorObstacle(*last);
}

std::string NNGraph::Impl::obstacleInSteps() const {
    for (const Step& step : steps) {
        if (!step.stage->replays()) return askingObstacle(step);
        if (!isFirstResult(step.imageResult) &&
            !isLibrarys(images[step.imageResult].node.impl().allocator))
            return allocatorObstacle(step);
    }
    return {};
}

std::string NNGraph::Impl::askingObstacle(const Step& step) const {
    return nameOf(step) + " asks the program, which may say something else each time";
}

std::string NNGraph::Impl::allocatorObstacle(const Step& step) const {
    return "the result of " + nameOf(step) + " has an allocator of the program's";
}

std::string NNGraph::Impl::externalsOf(const Request& request, mps::Externals& made) const {
    made.clear();
    for (size_t k = 0; k < request.images.size(); ++k) {
        auto& images =
            made.add(mps::ExternalBatch::Role::Images, k, request.images[k].size()).images;
        for (const Image& image : request.images[k]) images.push_back(&image);
        if (areTemporary(images)) return "source image " + std::to_string(k) + " is temporary";
    }
    for (size_t k = 0; k < request.states.size(); ++k) {
        if (std::ranges::any_of(request.states[k], &State::isTemporary))
            return "source state " + std::to_string(k) + " is temporary";
        if (!made.add(request.states[k], k))
            return "source state " + std::to_string(k) + " is none of loss labels";
    }
    for (const mps::ExternalBatch& batch : made.batches().subspan(request.images.size()))
        if (areTemporary(batch.images)) return "a label of a source state is temporary";
    return {};
}

bool NNGraph::Impl::shouldGather(size_t k) const {
    const mps::ExternalBatch& batch = externals.batches()[k];
    if (!batch.areAlike()) return false;
    if (!batch.isRun(device.impl().vk->limits().storageBufferRange)) return true;
    // Labels that are made anew may lie at other equal distances each time.
    return std::ranges::count_if(
               plans, [&](const auto& plan) { return plan->liesOtherwise(externals, k); }) > 1;
}

void NNGraph::Impl::forgetPlans() {
    plans.clear();
    layouts.clear();
}

void NNGraph::Impl::setOptions(KernelOptions value) {
    options = value;
    for (Step& step : steps) step.stage->kernel().setOptions(value);
    forgetPlans(); // kernels perhaps encode something else
}

bool NNGraph::Impl::isFree(const Plan& plan) const {
    if (!plan.lent.expired()) return false;
    // A program may hold on to a buffer of a state alone.
    for (size_t slot : resultStates)
        for (const State& state : plan.states[slot])
            for (const auto& resource : state.impl().resources)
                if (resource.object.shared().use_count() > 1) return false;
    return true;
}

std::shared_ptr<NNGraph::Impl::Plan> NNGraph::Impl::makePlan(const Request& request) {
    const auto plan = std::make_shared<Plan>(request.commands);
    plan->isBatch = request.isBatch;
    externals.find();
    const auto batches = externals.batches();
    for (size_t k = 0; k < batches.size() && externals.writesApart(); ++k)
        if (shouldGather(k)) plan->gather(k, batches[k]);
    std::vector<ImageBatch> inputs = request.images;
    std::vector<StateBatch> labels = request.states;
    for (size_t k = 0; k < batches.size(); ++k) {
        using Role = mps::ExternalBatch::Role;
        const ImageBatch* const together = plan->gathered(k);
        const auto forRole = [&](Role role) {
            return batches[k].role == role ? together : nullptr;
        };
        if (!together) continue;
        if (batches[k].role == Role::Images) {
            inputs[batches[k].input] = *together;
            continue;
        }
        StateBatch& states = labels[batches[k].input];
        states = mps::lossLabelsOn(states, forRole(Role::Labels), forRole(Role::Losses),
                                   forRole(Role::Weights));
    }
    const Request recorded{{inputs, labels}, plan->recording, request.isBatch};
    std::map<size_t, std::shared_ptr<Asked>> leaving;
    Outcome outcome = encodeSteps(
        recorded, {.layout = layoutFor(request), .stepEnds = &plan->stepEnds, .leaving = &leaving});
    mps::Externals recordedOn;
    externalsOf(recorded, recordedOn);
    plan->setExternals(recordedOn);
    for (const auto& [image, asked] : leaving) {
        const bool isTemporary = ownAllocator(image) == TemporaryImage::defaultAllocator();
        plan->leaving.push_back({*asked, image, isTemporary, {}});
        for (mps::ImageStorage* storage : storagesOf(outcome.images[image]))
            plan->replaceEachTime(storage->resource());
    }
    plan->states = std::move(outcome.states);
    plan->placeTemporaries();
    return plan;
}

NNGraph::Impl::Made NNGraph::Impl::makeFor(const Request& request, Plan& plan,
                                           mps::GraphPlan::Resources& resources) const {
    std::map<size_t, ImageBatch> leaving;
    for (Plan::Leaving& each : plan.leaving) {
        ImageBatch& batch = leaving[each.image];
        if (each.isTemporary) {
            batch = TemporaryImage::batch(request.commands, each.shape, each.count);
            ImageBatchIncrementReadCount(batch, readsOutside(each.image) - 1);
        } else {
            batch = each.pool.batch(device, each.shape, each.count);
        }
        for (mps::ImageStorage* storage : storagesOf(batch))
            resources.push_back(resourceOf(*storage));
    }
    const auto imagesAt = [&](size_t image) {
        const auto input = std::ranges::find(inputImages, image);
        return input == inputImages.end() ? leaving.at(image)
                                          : request.images[size_t(input - inputImages.begin())];
    };
    Made made;
    if (resultsNeeded[0]) made.result = imagesAt(results[0]);
    for (size_t image : intermediateImages) made.intermediates.push_back(imagesAt(image));
    if (resultStates.empty()) return made;
    auto owner = std::make_shared<std::vector<StateBatch>>();
    for (size_t slot : resultStates) owner->push_back(plan.states[slot]);
    for (const StateBatch& batch : *owner) made.states.push_back(lent(batch, owner));
    plan.lent = owner;
    return made;
}

bool NNGraph::Impl::isUsable(const Plan& plan, const Request& request) const {
    return plan.isBatch == request.isBatch && plan.arena == mps::planArena(request.commands) &&
           isFree(plan) && std::ranges::all_of(plan.leaving, [&](const Plan::Leaving& each) {
               return each.isTemporary ==
                      (ownAllocator(each.image) == TemporaryImage::defaultAllocator());
           });
}

std::shared_ptr<NNGraph::Impl::Plan> NNGraph::Impl::findLatest(const Request& request) {
    const auto found = std::ranges::find_if(plans, [&](const std::shared_ptr<Plan>& plan) {
        return plan->isLatest(request) && isUsable(*plan, request);
    });
    if (found == plans.end()) return nullptr;
    plans.splice(plans.begin(), plans, found);
    return plans.front();
}

std::shared_ptr<NNGraph::Impl::Plan> NNGraph::Impl::findPlan(const Request& request) {
    auto found = plans.end();
    for (auto it = plans.begin(); it != plans.end(); ++it) {
        const bool isBetter =
            found == plans.end() || (*it)->gatheredCount() < (*found)->gatheredCount();
        if (isBetter && isUsable(**it, request) && (*it)->fits(externals)) found = it;
    }
    if (found == plans.end()) return nullptr;
    plans.splice(plans.begin(), plans, found);
    return plans.front();
}

NNGraph::Impl::Replay NNGraph::Impl::replay(const Request& request,
                                            const std::shared_ptr<Plan>& latest) {
    Replay found;
    found.plan = latest ? latest : findPlan(request);
    missesInARow = found.plan ? 0 : missesInARow + 1;
    if (!found.plan && missesInARow > mostMisses) {
        whyEncodedAnew = "no plan fits, and none of the " + std::to_string(mostMisses) +
                         " latest ones was used again";
        return found;
    }
    if (!found.plan) {
        found.plan = makePlan(request);
        plans.push_front(found.plan);
        if (plans.size() > mostPlans) plans.pop_back();
        if ((options & KernelOptions::Verbose) == KernelOptions::Verbose)
            vk::log(int(LogLevel::Info), description());
    }
    found.operands.inputs =
        latest ? latest->latestInputs() : found.plan->inputsFor(externals, request);
    found.made = makeFor(request, *found.plan, found.operands.leaving);
    return found;
}

} // namespace mpsvk::MPS
