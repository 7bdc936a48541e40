// NSKeyedArchiver and MPSKeyedUnarchiver: kernels, descriptors, graphs and the objects they hold,
// as bytes.
//
//     std::vector<std::byte> bytes = MPS::KeyedArchiver::archivedData(pool);
//     auto pool = MPS::KeyedUnarchiver::unarchivedObject<MPS::CNNPoolingMax>(bytes, device);
//
// The bytes are CBOR (RFC 8949), the same on every platform, and not Apple's.
#pragma once

#include <mpsvk/Error.hpp>
#include <mpsvk/MPS/Kernel.hpp>
#include <mpsvk/MPS/SecureCoding.hpp>

#include <concepts>
#include <functional>
#include <memory>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

namespace mpsvk::MPS {

/// Takes values under keys that are unique within one object. NSKeyedArchiver.
class KeyedArchiver {
public:
    /// A kernel, a descriptor, or a SecureCoding object (by itself or in a shared_ptr). Throws
    /// InvalidArgument when it holds an object that cannot be archived.
    template <class T> static std::vector<std::byte> archivedData(const T& object) {
        KeyedArchiver coder;
        coder.begin(object.className());
        if constexpr (std::derived_from<T, Kernel>)
            static_cast<const Kernel&>(object).encode(coder);
        else
            object.encode(coder);
        return coder.data();
    }
    template <class T>
    static std::vector<std::byte> archivedData(const std::shared_ptr<T>& object) {
        if (!object) throw InvalidArgument("[KeyedArchiver] The object is null.");
        return archivedData(*object);
    }

    template <std::integral T> void encode(T value, std::string_view key) {
        encodeInteger(int64_t(value), key);
    }
    void encode(double value, std::string_view key);
    void encode(std::string_view value, std::string_view key);
    void encodeBytes(std::span<const std::byte> bytes, std::string_view key);
    /// An object used twice is stored once. Null is stored as such.
    void encode(const std::shared_ptr<const SecureCoding>& object, std::string_view key);

    ~KeyedArchiver();
    KeyedArchiver(const KeyedArchiver&) = delete;
    KeyedArchiver& operator=(const KeyedArchiver&) = delete;
    struct Impl;
    Impl& impl() const { return *impl_; }

private:
    KeyedArchiver();
    void begin(const std::string& className);
    void encodeInteger(int64_t value, std::string_view key);
    std::vector<std::byte> data() const;
    std::unique_ptr<Impl> impl_;
};

/// Gives the values back. Everything that does not fit (bytes that are no archive, a key or a class
/// that is not there, a value of another type or out of range) is a FormatError.
/// MPSKeyedUnarchiver.
class KeyedUnarchiver {
public:
    using Factory = std::function<std::shared_ptr<SecureCoding>(KeyedUnarchiver&)>;
    /// How objects of a class are made again: for the whole process, from any thread.
    static void setClass(Factory factory, const std::string& className);

    /// A T for kernels and descriptors; a std::shared_ptr<T> for a class that derives from
    /// SecureCoding, or for an interface (CNNConvolutionDataSource) that the archived object
    /// implements. Kernels are made on `device`, or on the system's default device.
    template <class T>
    static auto unarchivedObject(std::span<const std::byte> data, const MTL::Device& device = {}) {
        KeyedUnarchiver coder(data, device);
        try {
            if constexpr (std::is_abstract_v<T> || std::derived_from<T, SecureCoding>) {
                auto object = std::dynamic_pointer_cast<T>(coder.makeObject());
                if (!object) coder.refuse("The archived object is none of the class asked for.");
                return object;
            } else {
                return T(coder, device);
            }
        } catch (const InvalidArgument& error) { // values that no constructor takes
            throw FormatError(std::string("[KeyedUnarchiver] ") + error.what());
        }
    }

    bool containsValue(std::string_view key) const;
    int64_t decodeInt64(std::string_view key) const;
    double decodeDouble(std::string_view key) const;
    std::string decodeString(std::string_view key) const;
    std::vector<std::byte> decodeBytes(std::string_view key) const;
    std::shared_ptr<SecureCoding> decodeObject(std::string_view key);
    template <class T> std::shared_ptr<T> decodeObject(std::string_view key) {
        const auto object = decodeObject(key);
        auto wanted = std::dynamic_pointer_cast<T>(object);
        if (object && !wanted)
            refuse("The object \"" + std::string(key) + "\" is a " + object->className() +
                   ", which cannot stand there.");
        return wanted;
    }
    /// MPSDeviceProvider: what kernels are made on.
    MTL::Device mpsMTLDevice() const;

    ~KeyedUnarchiver();
    KeyedUnarchiver(const KeyedUnarchiver&) = delete;
    KeyedUnarchiver& operator=(const KeyedUnarchiver&) = delete;
    struct Impl;
    Impl& impl() const { return *impl_; }
    /// Throws a FormatError.
    [[noreturn]] void refuse(const std::string& sentence) const;

private:
    KeyedUnarchiver(std::span<const std::byte> data, const MTL::Device& device);
    std::shared_ptr<SecureCoding> makeObject();
    std::unique_ptr<Impl> impl_;
};

} // namespace mpsvk::MPS
