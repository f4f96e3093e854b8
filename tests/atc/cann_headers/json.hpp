// Stand-in: the part of nlohmann::json that the plugin uses.
#pragma once
#include <string>
#include <vector>

namespace nlohmann {
class json {
public:
    static json parse(const char* text, void* callback, bool throws);
    static json array();
    bool is_discarded() const;
    bool is_string() const;
    bool contains(const char* key) const;
    const json& operator[](const char* key) const;
    json value(const char* key, const json& fallback) const;
    std::string value(const char* key, const char* fallback) const;
    template <typename T>
    T get() const;
    const json* begin() const;
    const json* end() const;
};
}  // namespace nlohmann
