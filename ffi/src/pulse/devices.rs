//! The sinks and the source that the browser knows as its microphone and its speaker.

use std::time::Instant;

use libpulse_sys as pa;

use super::code::Code;
use super::connection::Connection;
use super::request::{Device, SUSPEND_ON_IDLE};
use super::{MICROPHONE_SINK, MICROPHONE_SOURCE, SPEAKER_SINK};
use crate::{Error, Remedy, Result};

/// What [`Connection::ensure_devices`] found: everything is there now.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Devices {
    /// What it had to make; the rest was there.
    pub made: Vec<&'static str>,
}

/// What is known of our devices; nothing for what is missing.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Known {
    pub(super) microphone_sink: Option<Device>,
    pub(super) microphone_source: Option<Device>,
    pub(super) speaker_sink: Option<Device>,
}

/// Finds our devices, makes those that are missing, sets the defaults and watches all of it.
pub(super) fn ensure(connection: &mut Connection, deadline: Instant) -> Result<Devices> {
    let mut survey = Survey { connection, deadline, made: Vec::new(), missing: Vec::new() };
    let microphone_sink = survey.device(Kind::Sink, &MICROPHONE_FEED)?;
    let speaker_sink = survey.device(Kind::Sink, &SPEAKER)?;
    let microphone_source = survey.device(Kind::Source, &MICROPHONE)?;
    survey.defaults(speaker_sink.is_some(), microphone_source.is_some())?;
    survey.suspend_idle()?;
    let Survey { made, missing, .. } = survey;
    super::usage::watch(connection, Known { microphone_sink, microphone_source, speaker_sink }, deadline)?;
    if missing.is_empty() { Ok(Devices { made }) } else { Err(Error::new(PREPARING, Remedy::Report, missing.join("; "))) }
}

/// One run of [`ensure`].
struct Survey<'a> {
    connection: &'a mut Connection,
    deadline: Instant,
    made: Vec<&'static str>,
    missing: Vec<String>,
}

impl Survey<'_> {
    fn device(&mut self, kind: Kind, recipe: &Recipe) -> Result<Option<Device>> {
        if let Some(device) = self.find(kind, recipe.name)? {
            return Ok(Some(device));
        }
        let loading = self.connection.link().asker().load_module(recipe.module, recipe.arguments);
        match self.connection.wait(loading, self.deadline)? {
            Ok(_module) => self.made.push(recipe.name),
            Err(code) => {
                self.missing.push(recipe.missing(kind, code));
                return Ok(None);
            }
        }
        // The module gave it another name when it took ours in the meantime, so look again instead of trusting.
        let device = self.find(kind, recipe.name)?;
        if device.is_none() {
            self.missing.push(recipe.missing(kind, Code::NO_ENTITY));
        }
        Ok(device)
    }

    fn find(&mut self, kind: Kind, name: &str) -> Result<Option<Device>> {
        let asker = self.connection.link().asker();
        let question = match kind {
            Kind::Sink => asker.sink(name),
            Kind::Source => asker.source(name),
        };
        match self.connection.wait(question, self.deadline)? {
            Ok(device) => Ok(Some(device)),
            Err(Code::NO_ENTITY) => Ok(None),
            Err(code) => Err(Error::new(PREPARING, Remedy::Rebuild, format!("{name}: {code}"))),
        }
    }

    /// Lets the server rest. A null sink that nobody uses, or one with corked streams only, would go on mixing silence.
    fn suspend_idle(&mut self) -> Result<()> {
        let question = self.connection.link().asker().suspends_idle();
        if self.connection.wait(question, self.deadline)? == Ok(false) {
            let loading = self.connection.link().asker().load_module(SUSPEND_ON_IDLE, "");
            // A server that refuses costs a little processor time, nothing else.
            let _ = self.connection.wait(loading, self.deadline)?;
        }
        Ok(())
    }

    /// Sets what is there as default. It asks first: a server may save what is set.
    fn defaults(&mut self, speaker: bool, microphone: bool) -> Result<()> {
        let question = self.connection.link().asker().defaults();
        let now = match self.connection.wait(question, self.deadline)? {
            Ok(now) => now,
            Err(code) => return Err(Error::new(PREPARING, Remedy::Rebuild, code.to_string())),
        };
        if speaker && now.sink != SPEAKER_SINK {
            let setting = self.connection.link().asker().set_default_sink(SPEAKER_SINK);
            if let Err(code) = self.connection.wait(setting, self.deadline)? {
                self.missing
                    .push(format!("the default sink is {}, not {SPEAKER_SINK} ({code}): pactl set-default-sink {SPEAKER_SINK}", now.sink));
            }
        }
        if microphone && now.source != MICROPHONE_SOURCE {
            let setting = self.connection.link().asker().set_default_source(MICROPHONE_SOURCE);
            if let Err(code) = self.connection.wait(setting, self.deadline)? {
                self.missing.push(format!(
                    "the default source is {}, not {MICROPHONE_SOURCE} ({code}): pactl set-default-source {MICROPHONE_SOURCE}",
                    now.source
                ));
            }
        }
        Ok(())
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Sink,
    Source,
}

/// How a device is made.
struct Recipe {
    name: &'static str,
    module: &'static str,
    arguments: &'static str,
}

impl Recipe {
    fn missing(&self, kind: Kind, code: Code) -> String {
        let Self { name, module, arguments } = self;
        let kind = match kind {
            Kind::Sink => "sink",
            Kind::Source => "source",
        };
        let why = if code == Code::ACCESS { "the server refuses to load modules".to_owned() } else { code.to_string() };
        // `pactl` joins its arguments with spaces; in single quotes the shell leaves the double ones to the server.
        format!("{kind} {name} is missing ({why}): pactl load-module {module} '{arguments}'")
    }
}

/// `norewinds` makes an idle null sink mix 50 ms ahead instead of 2 s. Without it, the first sound after a silence is up to 2 s late for
/// who listens to the monitor: the sink waits out the silence it has mixed, or mixes the sound into what the monitor has passed on
/// already. A suspended sink has neither trouble.
const MICROPHONE_FEED: Recipe = Recipe {
    name: MICROPHONE_SINK,
    module: "module-null-sink",
    arguments: "sink_name=audio_input format=s16le rate=48000 channels=2 norewinds=1 sink_properties=device.description=Microphone-Feed",
};

const SPEAKER: Recipe = Recipe {
    name: SPEAKER_SINK,
    module: "module-null-sink",
    arguments: "sink_name=audio_output format=s16le rate=48000 channels=2 norewinds=1 sink_properties=device.description=Speaker",
};

/// Chromium lists it by its description.
const MICROPHONE: Recipe = Recipe {
    name: MICROPHONE_SOURCE,
    module: "module-remap-source",
    arguments: "source_name=microphone master=audio_input.monitor source_properties=device.description=Microphone",
};

const PREPARING: &str = "preparing the sound devices";

/// No module, no sink, no source has this number.
pub(super) const NOBODY: u32 = pa::PA_INVALID_INDEX;
