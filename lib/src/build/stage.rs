//! One stage, instruction by instruction.

use std::{
    borrow::Cow,
    sync::Arc,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use super::{
    base,
    cache::{self, Record},
    caches::{CachePlace, Entry},
    config, copy,
    error::{At, BuildError, Problem},
    kept::KeptRoot,
    packing::{Fresh, News},
    run,
    scope::Scope,
    solver::Shared,
    squash::Base,
    trees::Applied,
    workdir,
};
use crate::{
    containerfile::{self, Instruction, InstructionKind, Span, Word},
    event::{Event, StepId},
    image::{History, Image, Layer},
    layer::LayerIndex,
    plan::{graph, key::Parts},
    tree::Tree,
};

/// A stage as far as it is built.
#[derive(Clone)]
pub(super) struct Stage {
    pub shared: Arc<Shared>,
    /// Its number in the file.
    pub index: usize,
    pub image: Image,
    pub scope: Scope,
    /// What it began with, over all stages that it is built on.
    pub base: Base,
    /// CMD was set in this stage, and not by its base.
    pub cmd_is_own: bool,
    /// The root filesystem after some layers. Nobody asked for a later one yet.
    applied: Applied,
    /// The text that spans of the current instruction point into: the file, or a trigger of the base.
    pub text: Arc<Text>,
    /// Steps begun so far, `FROM` included.
    position: usize,
    /// Triggers of the base that make layers.
    triggered: usize,
    /// The root that the last RUN has left. Clones share it; the first one takes it.
    pub kept: KeptRoot,
    /// Its programs are for another machine, which the kernel does not know what to do with.
    pub foreign: bool,
}

/// A text with instructions.
#[derive(Debug)]
pub(super) struct Text {
    /// The file's name, or what it is instead.
    pub file: String,
    pub source: Arc<str>,
    pub escape: char,
}

/// A layer that was made, in the store.
pub(super) struct Made {
    pub layer: Layer,
    pub index: LayerIndex,
}

/// Whether an instruction is a step of its own.
pub(super) fn makes_layer(kind: &InstructionKind) -> bool {
    matches!(
        kind,
        InstructionKind::Run(_)
            | InstructionKind::Copy(_)
            | InstructionKind::Add(_)
            | InstructionKind::Workdir(_)
    )
}

/// Builds a stage.
pub(super) async fn build(shared: &Arc<Shared>, index: usize) -> Result<Stage, BuildError> {
    let Some(plan) = shared.graph.stages.get(index) else {
        return Err(Problem::Value(format!("there is no stage {index}")).into());
    };
    let mut stage = begin(shared, index, plan).await?;
    stage.triggers().await?;
    for instruction in &plan.instructions {
        stage.instruction(instruction).await?;
    }
    stage.drop_root();
    Ok(stage)
}

/// The `FROM`.
async fn begin(shared: &Arc<Shared>, index: usize, plan: &graph::Stage) -> Result<Stage, BuildError> {
    // A stage on a stage waits for it first, so that its own clock starts when its work does.
    let parent = match plan.base {
        graph::Base::Stage(parent) => Some(shared.stage(parent).await?),
        _ => None,
    };
    let started = Instant::now();
    let step = shared.next_step();
    shared.tell(Event::StepStarted {
        step,
        stage: plan.name.clone().unwrap_or_else(|| index.to_string()),
        position: 1,
        of: shared.steps_of(index),
        instruction: plan.from.text.clone(),
        line: shared.input.line(plan.from.span.start),
    });
    let image = match &parent {
        Some(parent) => Ok(parent.image.clone()),
        None => base::image(shared, plan).await,
    };
    let image = image.map_err(|error| {
        shared.tell(Event::StepFailed {
            step,
            elapsed: started.elapsed(),
        });
        error.at_place(|| shared.at(plan.from.image.span.clone()))
    })?;
    shared.tell(Event::StepFinished {
        step,
        elapsed: started.elapsed(),
        layer: None,
    });
    let mut stage = Stage {
        shared: shared.clone(),
        index,
        base: parent
            .as_ref()
            .map_or_else(|| Base::of(&image), |parent| parent.base),
        image,
        scope: parent
            .as_ref()
            .map(|parent| parent.scope.clone())
            .unwrap_or_default(),
        cmd_is_own: false,
        applied: parent
            .as_ref()
            .map(|parent| parent.applied.clone())
            .unwrap_or_default(),
        text: shared.input.text.clone(),
        position: 1,
        triggered: 0,
        kept: KeptRoot::default(),
        foreign: parent.as_ref().is_some_and(|parent| parent.foreign),
    };
    if parent.is_none() {
        base::environment(&mut stage);
    }
    Ok(stage)
}

impl Stage {
    /// Runs what the base left for its children, once.
    async fn triggers(&mut self) -> Result<(), BuildError> {
        let triggers = std::mem::take(&mut self.image.config_mut().config.on_build);
        if triggers.is_empty() {
            return Ok(());
        }
        let own = self.text.clone();
        let mut parsed = Vec::new();
        for trigger in triggers {
            let text = Text {
                file: "ONBUILD of the base image".to_owned(),
                source: trigger.as_str().into(),
                escape: '\\',
            };
            let instruction = Instruction::parse_trigger(&trigger).map_err(Problem::Syntax)?;
            self.triggered += usize::from(makes_layer(&instruction.kind));
            parsed.push((Arc::new(text), instruction));
        }
        for (text, instruction) in parsed {
            self.text = text;
            self.instruction(&instruction).await?;
        }
        self.text = own;
        Ok(())
    }

    async fn instruction(&mut self, instruction: &Instruction) -> Result<(), BuildError> {
        let place = {
            let (text, span) = (self.text.clone(), instruction.span.clone());
            move || At {
                file: text.file.clone(),
                source: text.source.clone(),
                span,
            }
        };
        self.apply(instruction)
            .await
            .map_err(|error| error.at_place(place))
    }

    async fn apply(&mut self, instruction: &Instruction) -> Result<(), BuildError> {
        match &instruction.kind {
            InstructionKind::Arg(args) => self.args(args)?,
            InstructionKind::Run(run) => run::run(self, instruction, run).await?,
            InstructionKind::Copy(copy) => copy::copy(self, instruction, copy, false).await?,
            InstructionKind::Add(copy) => copy::copy(self, instruction, copy, true).await?,
            InstructionKind::Workdir(word) => workdir::workdir(self, instruction, word).await?,
            InstructionKind::Onbuild(trigger) => {
                self.image.config_mut().config.on_build.push(trigger.text.clone());
            }
            other => {
                let history = config::apply(self, other)?;
                self.note(history);
            }
        }
        Ok(())
    }

    /// Declares arguments, from left to right. A build-arg beats every default.
    fn args(&mut self, args: &[(Word, Option<Word>)]) -> Result<(), BuildError> {
        for (name, default) in args {
            let name = self.expand(name)?;
            let globals = &self.shared.globals;
            let given = self.shared.options.build_arg(&name).map(str::to_owned);
            let value = match (given, default) {
                (Some(value), _) => Some(value),
                (None, Some(default)) => Some(self.expand(default)?),
                (None, None) => match globals.declared.get(&name) {
                    Some(value) => value.clone(),
                    None => globals.given.get(&name).cloned(),
                },
            };
            self.scope.declare(&name, value.as_deref());
            let shown = value.map_or(name.clone(), |value| format!("{name}={value}"));
            self.note(format!("ARG {shown}"));
        }
        Ok(())
    }

    /// The value of a word.
    pub fn expand(&self, word: &Word) -> Result<String, BuildError> {
        containerfile::expand::expand(&word.text, self.text.escape, &|name| self.lookup(name))
            .map_err(|error| self.value_error(error.to_string(), word.span.clone()))
    }

    /// The value of a word, split at blanks that no quotes protect.
    pub fn expand_split(&self, word: &Word) -> Result<Vec<String>, BuildError> {
        containerfile::expand::expand_words(&word.text, self.text.escape, &|name| self.lookup(name))
            .map_err(|error| self.value_error(error.to_string(), word.span.clone()))
    }

    /// The value of a variable.
    pub fn lookup(&self, name: &str) -> Option<Cow<'_, str>> {
        self.scope.get(name).map(Cow::Borrowed)
    }

    /// An error about a value, at a place of the current text.
    pub fn value_error(&self, message: impl Into<String>, span: Span) -> BuildError {
        self.error_at(Problem::Value(message.into()), span)
    }

    /// A problem at a place of the current text.
    pub fn error_at(&self, problem: impl Into<BuildError>, span: Span) -> BuildError {
        let text = &self.text;
        problem.into().at_place(|| At {
            file: text.file.clone(),
            source: text.source.clone(),
            span,
        })
    }

    /// Time of what is made now, seconds since 1970.
    pub fn now(&self) -> i64 {
        self.shared.epoch.unwrap_or_else(|| {
            SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| since.as_secs().cast_signed())
        })
    }

    /// Adds a history entry without a layer. Its time is that of the entry before, so that the same steps give the
    /// same image, whenever they are run.
    pub fn note(&mut self, created_by: String) {
        let last = self
            .image
            .config()
            .history
            .last()
            .and_then(|entry| entry.created.clone());
        let created = self.shared.epoch.map(timestamp).or(last);
        self.image.note(History {
            created,
            created_by,
            ..History::default()
        });
    }

    /// The root filesystem.
    pub async fn tree(&mut self) -> Result<&mut Tree, BuildError> {
        let (layers, base) = (self.image.layers(), self.base.layers);
        let shared = &self.shared;
        shared
            .layers
            .apply(shared, &mut self.applied, layers, base)
            .await?;
        Ok(&mut self.applied.tree)
    }

    /// The tree, if somebody asked for it already and it is up to date.
    pub fn known_tree(&self) -> Option<&Tree> {
        (self.applied.layers == self.image.layers().len()).then_some(&self.applied.tree)
    }

    /// Parts that the key of every step has that sees the layers below.
    pub fn parts(&self, operation: &str) -> Parts {
        let below = self.image.layers().iter().map(|layer| layer.diff_id.to_string());
        self.parts_alone(operation)
            .with_list("the layers below", below)
            .with("platform", self.image.platform())
    }

    /// Parts that the key of a step has that does not look at what is below.
    pub fn parts_alone(&self, operation: &str) -> Parts {
        let parts = Parts::of(operation);
        match self.shared.latest_time() {
            Some(latest) => parts.with("the latest time of files", latest),
            None => parts,
        }
    }

    /// Begins a step.
    pub fn start(&mut self, instruction: &Instruction) -> Step {
        self.position += 1;
        let step = self.shared.next_step();
        let plan = self.shared.graph.stages.get(self.index);
        let name = plan.and_then(|plan| plan.name.clone());
        self.shared.tell(Event::StepStarted {
            step,
            stage: name.unwrap_or_else(|| self.index.to_string()),
            position: self.position,
            of: self.shared.steps_of(self.index) + self.triggered,
            instruction: instruction.text.clone(),
            line: instruction.line,
        });
        Step {
            id: step,
            started: Instant::now(),
            shared: self.shared.clone(),
            done: false,
        }
    }

    /// Looks a step's result up, and adds its layer if it is there. Otherwise says why it is not.
    pub async fn cached(
        &mut self,
        step: &mut Step,
        parts: &Parts,
        history: &str,
    ) -> Result<bool, BuildError> {
        let place = self.place();
        self.shared.layers.packings.step(&parts.key()).await?;
        let (record, from) = match cache::look_up(&self.shared, parts, &place).await? {
            Ok(record) => (record, None),
            Err(why) => match self.restored(parts).await {
                Some((record, from)) => {
                    self.shared.caches.note(parts, place, &record);
                    (record, Some(from))
                }
                None => {
                    self.shared.tell(Event::StepMissed { step: step.id, why });
                    return Ok(false);
                }
            },
        };
        self.shared.tell(Event::StepCached {
            step: step.id,
            from: from.as_ref().map(CachePlace::to_string),
        });
        self.share(parts, &Entry::of_step(&record), from.as_ref());
        let layer = record.layer.clone();
        self.shared.layers.know(&layer);
        self.append(&record, history.to_owned());
        step.finish(Some(layer.diff_id));
        Ok(true)
    }

    /// A step's result in a cache elsewhere, and in which.
    async fn restored(&self, parts: &Parts) -> Option<(Record, CachePlace)> {
        if !cache::may_be_known(&self.shared, parts) {
            return None;
        }
        let (entry, from) = self.shared.caches.look_up(&self.shared, &parts.key()).await?;
        let (record, oldest) = (entry.step()?, self.shared.options.oldest);
        let fresh = oldest.is_none_or(|oldest| !record.is_older_than(oldest));
        fresh.then_some((record, from))
    }

    /// Gives a result to the caches elsewhere.
    fn share(&self, parts: &Parts, entry: &Entry, from: Option<&CachePlace>) {
        let caches = &self.shared.caches;
        if caches.are_kept() {
            caches.keep(&self.shared, self.index, parts.key(), entry, from);
        }
    }

    /// Adds a layer that a step just made, and remembers it for the next time once it is a blob.
    pub fn made(
        &mut self,
        step: &mut Step,
        parts: &Parts,
        history: String,
        made: Fresh,
    ) -> Result<(), BuildError> {
        let record = Record {
            layer: made.plain(),
            created: timestamp(self.now()),
        };
        let up_to_date = self.known_tree().is_some();
        self.append(&record, history);
        if up_to_date {
            self.applied.tree.apply(&made.index.changes)?;
            self.applied.layers += 1;
        }
        let diff_id = record.layer.diff_id;
        let news = News {
            shared: self.shared.clone(),
            stage: self.index,
            parts: parts.clone(),
            place: self.place(),
            record,
        };
        self.shared.layers.packings.add(news, made.packing);
        step.finish(Some(diff_id));
        Ok(())
    }

    fn append(&mut self, record: &Record, created_by: String) {
        let created = self
            .shared
            .epoch
            .map_or_else(|| record.created.clone(), timestamp);
        let history = History {
            created: Some(created),
            created_by,
            ..History::default()
        };
        self.image.append(record.layer.clone(), history);
    }

    /// Which step this is, over many builds of the same file.
    fn place(&self) -> Vec<String> {
        vec![
            self.shared.input.identity.clone(),
            self.index.to_string(),
            self.position.to_string(),
        ]
    }
}

/// A step that has begun. Dropped before it is finished, it has failed.
pub(super) struct Step {
    pub id: StepId,
    started: Instant,
    shared: Arc<Shared>,
    done: bool,
}

impl Step {
    fn finish(&mut self, layer: Option<crate::Digest>) {
        self.done = true;
        self.shared.tell(Event::StepFinished {
            step: self.id,
            elapsed: self.started.elapsed(),
            layer,
        });
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        if !self.done {
            self.shared.tell(Event::StepFailed {
                step: self.id,
                elapsed: self.started.elapsed(),
            });
        }
    }
}

/// RFC 3339, as image configs have it.
pub(super) fn timestamp(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds)
        .unwrap_or_default()
        .to_string()
}
