//! A sandbox's browser, on its display and with its sound server.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::json;

use crate::chromium::Chromium;
use crate::clock::Clock;
use crate::crosspoint::{Crosspoint, write_wrapper};
use crate::page::{Page, Scripts};
use crate::scratch;

/// One that has its page open, and the camera there, if it has one.
pub(super) struct Browser {
    pub(super) chromium: Chromium,
    page: Page,
}

impl Browser {
    /// Opens `binary` on the display of a sandbox, whose router was started from `router`.
    ///
    /// # Errors
    /// When it cannot be started, or has no camera in time.
    pub(super) async fn open(
        binary: &Path,
        (router, crosspoint): (&Path, &Crosspoint),
        (display, sound): (&str, &str),
        camera: bool,
    ) -> Result<Self> {
        let page = Page::serve(SCRIPTS, Clock::start()).await?;
        let folder = scratch::folder(&std::env::temp_dir())?;
        let wrapper = folder.path().join("wrapper");
        write_wrapper(router, &crosspoint.camera().context("a camera of our own")?, &wrapper)?;
        let url = page.url(&json!({ "camera": camera }));
        let mut chromium = Chromium::on_display(binary, folder, Some(&wrapper), &url, display, sound)?;
        let opened = page.wait("the sandbox's page", OPEN, |account| account.opened.is_some()).await;
        chromium.check()?;
        opened?;
        Ok(Self { chromium, page })
    }

    /// Fails when it, or its page, has ended.
    pub(super) fn check(&mut self) -> Result<()> {
        self.chromium.check()?;
        self.page.account().failed.as_ref().map_or(Ok(()), |failed| Err(anyhow::anyhow!("the sandbox's page: {failed}")))
    }
}

const SCRIPTS: Scripts = &[("/page.js", include_str!("page.js"))];
/// A cold browser on a busy machine.
const OPEN: Duration = Duration::from_secs(60);
