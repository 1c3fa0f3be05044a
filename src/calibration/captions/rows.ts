import {z} from 'zod';

/** A row of the file that a calibration of captions goes on with: `CaptionRow`, and which row of the data it is. */
export const calibrationRowSchema = z.object({
  index: z.number().int().nonnegative(),
  id: z.string(),
  imageId: z.string(),
  references: z.array(z.string()).min(1),
  captions: z
    .array(
      z
        .object({
          text: z.string(),
          macs: z.number().nonnegative(),
          layers: z.array(z.number().positive()).min(2).max(3),
        })
        .nullable(),
    )
    .min(2),
});
