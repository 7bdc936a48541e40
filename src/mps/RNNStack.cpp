#include "mps/RNNStack.hpp"

namespace mpsvk::mps {

namespace {

/// Of the steps that are kept at once.
constexpr uint64_t mostStepBytes = uint64_t(16) << 20;

} // namespace

void RNNStack::encode() {
    const auto rows = request_.rows;
    uint64_t rowBytes = 0;
    for (const auto& layer : request_.layers)
        rowBytes +=
            (layer->gateColumns() + (2 + layer->mixes()) * layer->paddedOutputs()) * sizeof(float);
    for (size_t done = 0; done < rows.size();) {
        uint64_t bytes = 0;
        size_t count = 0;
        while (done + count < rows.size()) {
            const size_t next = done + count;
            bytes += rows[request_.isBackward ? rows.size() - 1 - next : next] * rowBytes;
            if (count > 0 && bytes > mostStepBytes) break;
            ++count;
        }
        const size_t first = request_.isBackward ? rows.size() - done - count : done;
        encodeSteps(first, count, done == 0, done + count == rows.size());
        done += count;
    }
}

void RNNStack::copy(const vk::BufferSlice& from, const vk::BufferSlice& to, uint64_t bytes) {
    encoder_.list().copy({from.buffer, from.offset, bytes}, {to.buffer, to.offset, bytes});
}

void RNNStack::encodeSteps(size_t first, size_t count, bool begins, bool ends) {
    std::vector<ArrayView> inputs(request_.sources.begin() + first,
                                  request_.sources.begin() + first + count);
    std::shared_ptr<const vk::BufferSlice> before; // holds the inputs
    for (size_t i = 0; i < request_.layers.size(); ++i) {
        const RNNShape& shape = *request_.layers[i];
        Carry& carry = carries_[i];
        if (begins) carry.rows = request_.initial ? request_.rows.front() : 0;
        const RNNMemory memory(shape, request_.rows.subspan(first, count), carry.rows,
                               request_.isBackward,
                               [&](uint64_t bytes) { return encoder_.scratch(bytes); });
        encodeLayer(i, first, memory, inputs, begins);
        inputs.clear();
        for (const RNNStep& step : memory.steps)
            inputs.push_back(columnsOf(packedRows(step.output, step.rows, shape.paddedOutputs()), 0,
                                       shape.outputs));
        before = memory.all;
        if (ends) continue;
        const RNNStep& last = request_.isBackward ? memory.steps.front() : memory.steps.back();
        carry.rows = last.rows;
        const auto keep = [&](const vk::BufferSlice& slice) {
            auto kept = encoder_.scratch(slice.size);
            copy(slice, *kept, slice.size);
            return kept;
        };
        carry.output = keep(last.output);
        if (last.cell) carry.cell = keep(last.cell);
    }
}

void RNNStack::encodeLayer(size_t layer, size_t first, const RNNMemory& memory,
                           std::span<const ArrayView> inputs, bool begins) {
    const Carry& carry = carries_[layer];
    if (carry.rows > 0) {
        const auto begin = [&](const vk::BufferSlice& target, auto matrices, const auto& kept) {
            if (!target) return;
            copy(begins ? (request_.initial->*matrices)[layer].impl().slice() : *kept, target,
                 target.size);
        };
        using State = MPS::RNNRecurrentMatrixState::Impl;
        begin(memory.initial, &State::outputs, carry.output);
        begin(memory.initialCell, &State::cells, carry.cell);
    }
    std::span<const ArrayView> destinations;
    if (layer + 1 == request_.layers.size())
        destinations = std::span(request_.destinations).subspan(first, inputs.size());
    RNNForward(encoder_, *request_.layers[layer], request_.weights[layer])
        .encode(memory.steps, inputs, destinations, request_.isBackward,
                request_.addsToDestinations);
    if (request_.writer) writeStates(layer, first, memory);
}

void RNNStack::writeStates(size_t layer, size_t first, const RNNMemory& memory) {
    const auto rows = request_.rows;
    for (size_t i = 0; i < memory.steps.size(); ++i) {
        const RNNStep& step = memory.steps[i];
        const size_t t = first + i;
        if (request_.storesAll)
            request_.writer->write(t, layer, step.rows, step.output, step.cell);
        else
            request_.writer->writeRows(0, layer, t + 1 < rows.size() ? rows[t + 1] : 0, step.rows,
                                       step.output, step.cell);
    }
}

} // namespace mpsvk::mps
