// For each of four output channels of a depthwise convolution the value of the input channel that
// it reads, at (x, y) of the source. Include after the operand `source` and the block `parameters`.
vec4 depthwiseLoad(ImageView view, int x, int y, uint slice, uint image) {
    int nearestX = clampIndex(x, int(view.width));
    int nearestY = clampIndex(y, int(view.height));
    if (parameters.clampEdges == 0u && (x != nearestX || y != nearestY)) {
        return vec4(0.0);
    }
    if (parameters.multiplier == 1u) {
        return source_load(view, nearestX, nearestY, slice, image);
    }
    // Two output channels or more per input channel: the four lie in two texels at most.
    uvec4 channel = min((slice * 4u + uvec4(0u, 1u, 2u, 3u)) / parameters.multiplier,
                        uvec4(view.channels - 1u));
    vec4 first = source_load(view, nearestX, nearestY, channel.x / 4u, image);
    vec4 second = source_load(view, nearestX, nearestY, channel.w / 4u, image);
    vec4 value;
    for (uint lane = 0u; lane < 4u; ++lane) {
        uint c = channel[lane];
        value[lane] = c / 4u == channel.x / 4u ? first[c % 4u] : second[c % 4u];
    }
    return value;
}
