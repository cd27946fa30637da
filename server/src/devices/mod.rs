//! What crosspoint holds open for the browser beside it.

mod y4m_camera;

pub(crate) use y4m_camera::Y4mCamera;
