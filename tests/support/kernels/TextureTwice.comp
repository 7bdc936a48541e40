#version 450
layout(local_size_x = 8, local_size_y = 8) in;
layout(set = 0, binding = 32) uniform sampler2DArray source;
layout(set = 0, binding = 33) uniform writeonly image2DArray destination;

void main() {
    ivec3 at = ivec3(gl_GlobalInvocationID);
    ivec3 size = imageSize(destination);
    if (any(greaterThanEqual(at, size))) return;
    vec4 texel = texelFetch(source, at, 0);
    imageStore(destination, at, texel * 2 + vec4(at, 1));
}
