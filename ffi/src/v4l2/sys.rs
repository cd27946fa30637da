//! The part of `linux/videodev2.h` that an output device needs, as it is on 64-bit machines; a test compares it with the header.

use std::mem::size_of;

/// `struct v4l2_capability`
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Capability {
    /// The driver's name, ended by a zero.
    pub driver: [u8; 16],
    /// The device's name, ended by a zero.
    pub card: [u8; 32],
    /// Where it is attached.
    pub bus_info: [u8; 32],
    /// The kernel's version.
    pub version: u32,
    /// What the device can do, all its nodes together.
    pub capabilities: u32,
    /// What this node can do.
    pub device_caps: u32,
    /// Zero.
    pub reserved: [u32; 3],
}

/// `struct v4l2_pix_format`
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct PixFormat {
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Four letters.
    pub pixel_format: u32,
    /// `V4L2_FIELD_NONE` for whole pictures.
    pub field: u32,
    /// From row to row.
    pub bytes_per_line: u32,
    /// Of a picture.
    pub size_image: u32,
    /// `enum v4l2_colorspace`
    pub color_space: u32,
    /// `V4L2_PIX_FMT_PRIV_MAGIC` when the fields after it count.
    pub private: u32,
    /// `V4L2_PIX_FMT_FLAG_*`
    pub flags: u32,
    /// `enum v4l2_ycbcr_encoding`
    pub encoding: u32,
    /// `enum v4l2_quantization`
    pub quantization: u32,
    /// `enum v4l2_xfer_func`
    pub transfer: u32,
}

/// `struct v4l2_format`, of a single-planar picture
#[derive(Clone, Copy, Debug)]
#[repr(C, align(8))]
pub struct Format {
    /// `enum v4l2_buf_type`
    pub kind: u32,
    _align: u32,
    /// The picture.
    pub pix: PixFormat,
    _rest: [u8; 200 - size_of::<PixFormat>()],
}

/// `struct v4l2_streamparm`, of an output
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct StreamParm {
    /// `enum v4l2_buf_type`
    pub kind: u32,
    /// `V4L2_CAP_TIMEPERFRAME`
    pub capability: u32,
    /// Zero.
    pub mode: u32,
    /// Of the seconds a frame.
    pub numerator: u32,
    /// Of the seconds a frame.
    pub denominator: u32,
    /// Zero.
    pub extended_mode: u32,
    /// For `write()`.
    pub buffers: u32,
    _rest: [u8; 200 - 24],
}

/// `struct v4l2_requestbuffers`
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct RequestBuffers {
    /// How many; the answer is how many there are.
    pub count: u32,
    /// `enum v4l2_buf_type`
    pub kind: u32,
    /// `enum v4l2_memory`
    pub memory: u32,
    /// What the driver can do.
    pub capabilities: u32,
    /// Zero.
    pub flags: u8,
    /// Zero.
    pub reserved: [u8; 3],
}

/// `struct v4l2_buffer`
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Buffer {
    /// Which.
    pub index: u32,
    /// `enum v4l2_buf_type`
    pub kind: u32,
    /// Of the picture in it.
    pub bytes_used: u32,
    /// `V4L2_BUF_FLAG_*`
    pub flags: u32,
    /// `V4L2_FIELD_NONE`
    pub field: u32,
    _align: u32,
    /// Zero: the driver's clock says it.
    pub timestamp: [i64; 2],
    /// Unused.
    pub timecode: [u32; 4],
    /// Counts pictures.
    pub sequence: u32,
    /// `enum v4l2_memory`
    pub memory: u32,
    /// What to map it by.
    pub offset: u64,
    /// Of the buffer.
    pub length: u32,
    /// Zero.
    pub reserved: [u32; 2],
    _end: u32,
}

/// `struct v4l2_event_subscription`
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct EventSubscription {
    /// Which events.
    pub kind: u32,
    /// Of which control.
    pub id: u32,
    /// `V4L2_EVENT_SUB_FL_*`
    pub flags: u32,
    /// Zero.
    pub reserved: [u32; 5],
}

/// `struct v4l2_event`
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(8))]
pub struct Event {
    /// Which event.
    pub kind: u32,
    _align: u32,
    /// What it says.
    pub data: [u32; 16],
    /// Events that wait behind it.
    pub pending: u32,
    /// Counts events.
    pub sequence: u32,
    /// When.
    pub timestamp: [i64; 2],
    /// Of which control.
    pub id: u32,
    /// Zero.
    pub reserved: [u32; 8],
}

impl Format {
    /// Makes the format of an output's picture.
    #[must_use]
    pub fn output(pix: PixFormat) -> Self {
        Self { kind: OUTPUT, _align: 0, pix, _rest: [0; _] }
    }
}

impl Buffer {
    /// Names a mapped buffer of an output.
    #[must_use]
    pub fn output(index: u32) -> Self {
        Self { index, kind: OUTPUT, field: FIELD_NONE, memory: MMAP, ..Self::default() }
    }
}

impl StreamParm {
    /// Makes an output's rate.
    #[must_use]
    pub fn output(frame_rate: u32) -> Self {
        Self { kind: OUTPUT, capability: 0, mode: 0, numerator: 1, denominator: frame_rate, extended_mode: 0, buffers: 0, _rest: [0; _] }
    }
}

const NONE: u32 = 0;
const WRITE: u32 = 1;
const READ: u32 = 2;

/// `_IOC(direction, 'V', number, size)`
const fn request(direction: u32, number: u32, size: usize) -> u32 {
    assert!(size < 1 << 14 && direction != NONE, "every call of ours has an argument");
    direction << 30 | (size as u32) << 16 | (b'V' as u32) << 8 | number
}

pub(super) const QUERYCAP: u32 = request(READ, 0, size_of::<Capability>());
pub(super) const S_FMT: u32 = request(READ | WRITE, 5, size_of::<Format>());
pub(super) const REQBUFS: u32 = request(READ | WRITE, 8, size_of::<RequestBuffers>());
pub(super) const QUERYBUF: u32 = request(READ | WRITE, 9, size_of::<Buffer>());
pub(super) const QBUF: u32 = request(READ | WRITE, 15, size_of::<Buffer>());
pub(super) const STREAMON: u32 = request(WRITE, 18, size_of::<i32>());
pub(super) const STREAMOFF: u32 = request(WRITE, 19, size_of::<i32>());
pub(super) const S_PARM: u32 = request(READ | WRITE, 22, size_of::<StreamParm>());
pub(super) const DQEVENT: u32 = request(READ, 89, size_of::<Event>());
pub(super) const SUBSCRIBE_EVENT: u32 = request(WRITE, 90, size_of::<EventSubscription>());

/// `V4L2_BUF_TYPE_VIDEO_OUTPUT`
pub const OUTPUT: u32 = 2;
/// `V4L2_MEMORY_MMAP`
pub const MMAP: u32 = 1;
/// `V4L2_FIELD_NONE`
pub const FIELD_NONE: u32 = 1;
/// `V4L2_COLORSPACE_SMPTE170M`
pub const SMPTE170M: u32 = 1;
/// `V4L2_CAP_VIDEO_CAPTURE`
pub const CAP_CAPTURE: u32 = 0x1;
/// `V4L2_CAP_VIDEO_OUTPUT`
pub const CAP_OUTPUT: u32 = 0x2;
/// `V4L2_CAP_DEVICE_CAPS`
pub const CAP_DEVICE_CAPS: u32 = 0x8000_0000;
/// `V4L2_BUF_FLAG_MAPPED`
pub const FLAG_MAPPED: u32 = 0x1;
/// `V4L2_EVENT_SUB_FL_SEND_INITIAL`
pub const SEND_INITIAL: u32 = 0x1;
/// v4l2loopback's `V4L2_EVENT_PRI_CLIENT_USAGE`, of 0.13 and later: whether a reader is streaming. It is in no header that is installed.
pub const CLIENT_USAGE: u32 = 0x0800_0000 + 0x08e0_0000 + 1;
/// `V4L2_PIX_FMT_YUV420`
pub const YU12: u32 = u32::from_le_bytes(*b"YU12");
/// `V4L2_PIX_FMT_NV12`
pub const NV12: u32 = u32::from_le_bytes(*b"NV12");
/// `V4L2_PIX_FMT_YUYV`
pub const YUYV: u32 = u32::from_le_bytes(*b"YUYV");

#[cfg(test)]
mod tests {
    use std::mem::offset_of;
    use std::process::Command;

    use super::*;

    /// Has the C compiler say what expressions come to.
    fn header(expressions: &[&str]) -> Vec<u64> {
        let folder = tempfile::tempdir().expect("a folder");
        let (source, program) = (folder.path().join("header.c"), folder.path().join("header"));
        let prints: String = expressions.iter().map(|text| format!("printf(\"%llu\\n\", (unsigned long long)({text}));\n")).collect();
        let text =
            format!("#include <stddef.h>\n#include <stdio.h>\n#include <linux/videodev2.h>\nint main(void) {{ {prints} return 0; }}");
        std::fs::write(&source, text).expect("written");
        let compiled = Command::new("cc").arg(&source).arg("-o").arg(&program).status().expect("a C compiler");
        assert!(compiled.success());
        let output = Command::new(&program).output().expect("it runs").stdout;
        String::from_utf8(output).expect("numbers").lines().map(|line| line.parse().expect("a number")).collect()
    }

    #[test]
    fn sizes_places_and_numbers_are_those_of_the_header() {
        let table: Vec<(&str, u64)> = vec![
            ("sizeof(struct v4l2_capability)", size_of::<Capability>() as u64),
            ("offsetof(struct v4l2_capability, device_caps)", offset_of!(Capability, device_caps) as u64),
            ("sizeof(struct v4l2_pix_format)", size_of::<PixFormat>() as u64),
            ("sizeof(struct v4l2_format)", size_of::<Format>() as u64),
            ("offsetof(struct v4l2_format, fmt.pix)", offset_of!(Format, pix) as u64),
            ("offsetof(struct v4l2_pix_format, sizeimage)", offset_of!(PixFormat, size_image) as u64),
            ("offsetof(struct v4l2_pix_format, xfer_func)", offset_of!(PixFormat, transfer) as u64),
            ("sizeof(struct v4l2_streamparm)", size_of::<StreamParm>() as u64),
            ("offsetof(struct v4l2_streamparm, parm.output.timeperframe)", offset_of!(StreamParm, numerator) as u64),
            ("offsetof(struct v4l2_streamparm, parm.output.writebuffers)", offset_of!(StreamParm, buffers) as u64),
            ("sizeof(struct v4l2_requestbuffers)", size_of::<RequestBuffers>() as u64),
            ("offsetof(struct v4l2_requestbuffers, flags)", offset_of!(RequestBuffers, flags) as u64),
            ("sizeof(struct v4l2_buffer)", size_of::<Buffer>() as u64),
            ("offsetof(struct v4l2_buffer, timestamp)", offset_of!(Buffer, timestamp) as u64),
            ("offsetof(struct v4l2_buffer, timecode)", offset_of!(Buffer, timecode) as u64),
            ("offsetof(struct v4l2_buffer, sequence)", offset_of!(Buffer, sequence) as u64),
            ("offsetof(struct v4l2_buffer, m.offset)", offset_of!(Buffer, offset) as u64),
            ("offsetof(struct v4l2_buffer, length)", offset_of!(Buffer, length) as u64),
            ("sizeof(struct v4l2_event_subscription)", size_of::<EventSubscription>() as u64),
            ("sizeof(struct v4l2_event)", size_of::<Event>() as u64),
            ("offsetof(struct v4l2_event, u)", offset_of!(Event, data) as u64),
            ("offsetof(struct v4l2_event, pending)", offset_of!(Event, pending) as u64),
            ("offsetof(struct v4l2_event, timestamp)", offset_of!(Event, timestamp) as u64),
            ("VIDIOC_QUERYCAP", QUERYCAP.into()),
            ("VIDIOC_S_FMT", S_FMT.into()),
            ("VIDIOC_REQBUFS", REQBUFS.into()),
            ("VIDIOC_QUERYBUF", QUERYBUF.into()),
            ("VIDIOC_QBUF", QBUF.into()),
            ("VIDIOC_STREAMON", STREAMON.into()),
            ("VIDIOC_STREAMOFF", STREAMOFF.into()),
            ("VIDIOC_S_PARM", S_PARM.into()),
            ("VIDIOC_DQEVENT", DQEVENT.into()),
            ("VIDIOC_SUBSCRIBE_EVENT", SUBSCRIBE_EVENT.into()),
            ("V4L2_BUF_TYPE_VIDEO_OUTPUT", OUTPUT.into()),
            ("V4L2_MEMORY_MMAP", MMAP.into()),
            ("V4L2_FIELD_NONE", FIELD_NONE.into()),
            ("V4L2_COLORSPACE_SMPTE170M", SMPTE170M.into()),
            ("V4L2_CAP_VIDEO_CAPTURE", CAP_CAPTURE.into()),
            ("V4L2_CAP_VIDEO_OUTPUT", CAP_OUTPUT.into()),
            ("(__u32)V4L2_CAP_DEVICE_CAPS", CAP_DEVICE_CAPS.into()),
            ("V4L2_BUF_FLAG_MAPPED", FLAG_MAPPED.into()),
            ("V4L2_EVENT_SUB_FL_SEND_INITIAL", SEND_INITIAL.into()),
            ("V4L2_EVENT_PRIVATE_START", 0x0800_0000),
            ("V4L2_PIX_FMT_YUV420", YU12.into()),
            ("V4L2_PIX_FMT_NV12", NV12.into()),
            ("V4L2_PIX_FMT_YUYV", YUYV.into()),
        ];
        let expressions: Vec<_> = table.iter().map(|(expression, _)| *expression).collect();
        for ((expression, ours), theirs) in table.iter().zip(header(&expressions)) {
            assert_eq!(*ours, theirs, "{expression}");
        }
    }
}
