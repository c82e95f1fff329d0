/* The pixel operations by name. */
#include "data/pixel_op_internal.h"

#include "data/pixel_geometry.h"

#include <stddef.h>

static const char *const names[FX_N_OPS] = {
    [FX_OP_IDENTITY] = "Identity",
    [FX_OP_SHEAR_X] = "ShearX",
    [FX_OP_SHEAR_Y] = "ShearY",
    [FX_OP_TRANSLATE_X] = "TranslateX",
    [FX_OP_TRANSLATE_Y] = "TranslateY",
    [FX_OP_ROTATE] = "Rotate",
    [FX_OP_BRIGHTNESS] = "Brightness",
    [FX_OP_COLOR] = "Color",
    [FX_OP_CONTRAST] = "Contrast",
    [FX_OP_SHARPNESS] = "Sharpness",
    [FX_OP_POSTERIZE] = "Posterize",
    [FX_OP_SOLARIZE] = "Solarize",
    [FX_OP_AUTOCONTRAST] = "AutoContrast",
    [FX_OP_EQUALIZE] = "Equalize",
    [FX_OP_HUE] = "Hue",
};

const char *fx_op_name(enum fx_op_kind kind)
{
    return kind < FX_N_OPS ? names[kind] : NULL;
}

void fx_pixel_op(const struct fx_op *op, uint8_t *image)
{
    struct fx_pixel_walk walk;
    float magnitude = op->magnitude;

    switch ((enum fx_op_kind)op->kind) {
    case FX_OP_SHEAR_X:
    case FX_OP_SHEAR_Y:
    case FX_OP_TRANSLATE_X:
    case FX_OP_TRANSLATE_Y:
    case FX_OP_ROTATE:
        fx_pixel_walk_of(op, &walk);
        fx_pixel_move(image, &walk);
        break;
    case FX_OP_BRIGHTNESS:
        fx_pixel_brightness(image, magnitude);
        break;
    case FX_OP_COLOR:
        fx_pixel_color(image, magnitude);
        break;
    case FX_OP_CONTRAST:
        fx_pixel_contrast(image, magnitude);
        break;
    case FX_OP_SHARPNESS:
        fx_pixel_sharpness(image, magnitude);
        break;
    case FX_OP_POSTERIZE:
        fx_pixel_posterize(image, (int)magnitude);
        break;
    case FX_OP_SOLARIZE:
        fx_pixel_solarize(image, magnitude);
        break;
    case FX_OP_AUTOCONTRAST:
        fx_pixel_autocontrast(image);
        break;
    case FX_OP_EQUALIZE:
        fx_pixel_equalize(image);
        break;
    case FX_OP_HUE:
        fx_pixel_hue(image, magnitude);
        break;
    case FX_OP_IDENTITY:
    case FX_N_OPS:
        break;
    }
}
