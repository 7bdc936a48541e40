// What the sentence of a refusal begins with. It is put together only where something is refused: a
// training step has hundreds of encodes that are not.
#pragma once

#include "mtl/Device.hpp"

#include <mpsvk/MPS/Kernel.hpp>

#include <optional>
#include <string>
#include <string_view>

namespace mpsvk::mps {

/// `[ClassName "label"] `. It refers to the kernel or the text that it is made of.
class Subject {
public:
    Subject(const MPS::Kernel& kernel) : kernel_(&kernel) {}
    Subject(const std::string& text) : text_(text) {}
    Subject(const char* text) : text_(text) {}

    /// Null for a text.
    const MPS::Kernel* kernel() const { return kernel_; }
    MPS::KernelOptions options() const {
        return kernel_ ? kernel_->options() : MPS::KernelOptions::None;
    }
    std::string text() const {
        return kernel_ ? MTL::subject(kernel_->className(), kernel_->label()) : std::string(text_);
    }
    template <class Rest> friend std::string operator+(const Subject& subject, const Rest& rest) {
        return subject.text() + rest;
    }

private:
    const MPS::Kernel* kernel_ = nullptr;
    std::string_view text_;
};

/// An argument of an encode, or an element of one: `inputMomentumVectors[1]`.
struct Role {
    Role(const char* name) : name(name) {}
    Role(const char* name, size_t element) : name(name), element(element) {}
    friend std::string operator+(std::string text, const Role& role) {
        text += role.name;
        return role.element ? text + "[" + std::to_string(*role.element) + "]" : text;
    }
    const char* name;
    std::optional<size_t> element;
};

} // namespace mpsvk::mps
