//! What crosspoint holds open for the browser beside it.

pub(crate) mod readers;
mod v4l2_camera;
mod y4m_camera;

pub(crate) use v4l2_camera::{Change, V4l2Camera};
pub(crate) use y4m_camera::Y4mCamera;
