//! Stages, and what they need of each other.

use std::collections::BTreeMap;

use crate::containerfile::{Containerfile, From, Instruction, InstructionKind, Span, Word};

/// The stages that a target needs.
#[derive(Debug)]
pub(crate) struct Graph {
    /// All stages of the file, in order.
    pub stages: Vec<Stage>,
    /// The stage that the build ends in.
    pub target: usize,
}

/// A stage, its `FROM` expanded.
#[derive(Clone, Debug)]
pub(crate) struct Stage {
    /// Its name in lower case, if it has one.
    pub name: Option<String>,
    /// What it is built on.
    pub base: Base,
    /// `--platform`, expanded.
    pub platform: Option<String>,
    /// Its `FROM` line, as written, and where it is.
    pub from: From,
    /// What follows the `FROM`.
    pub instructions: Vec<Instruction>,
    /// Stages it names in `FROM`, `COPY --from` and mounts.
    pub needs: Vec<usize>,
}

/// What a `FROM` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Base {
    /// Nothing.
    Scratch,
    /// An earlier stage.
    Stage(usize),
    /// A named context or an image, by its expanded name.
    Image(String),
}

/// Why there is no such graph.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GraphError {
    /// A word of a `FROM` cannot be expanded.
    #[error("{message}")]
    Expand {
        /// Why.
        message: String,
        /// Where.
        span: Span,
    },
    /// A `FROM` expands to nothing.
    #[error(
        "the base image is empty: {word:?} expands to nothing; give the ARG a default or pass --build-arg"
    )]
    EmptyBase {
        /// As written.
        word: String,
        /// Where.
        span: Span,
    },
    /// A stage is named before it begins.
    #[error("{name:?} is a later stage: a stage can only use stages above it")]
    LaterStage {
        /// Its name.
        name: String,
        /// Where it is used.
        span: Span,
    },
    /// `--target` names nothing.
    #[error("there is no stage {name:?}; the file has: {}", known.join(", "))]
    NoSuchTarget {
        /// What was asked for.
        name: String,
        /// The stages there are.
        known: Vec<String>,
    },
}

impl GraphError {
    /// Where in the source, if it is about a place.
    pub fn span(&self) -> Option<&Span> {
        match self {
            Self::Expand { span, .. } | Self::EmptyBase { span, .. } | Self::LaterStage { span, .. } => {
                Some(span)
            }
            Self::NoSuchTarget { .. } => None,
        }
    }
}

impl Graph {
    /// The graph of a file. `expand` gives a `FROM` word its value; `target` is a stage's name or number.
    ///
    /// # Errors
    /// When a `FROM` that the target needs does not expand, or a stage names a later one.
    pub fn new(
        file: &Containerfile,
        target: Option<&str>,
        expand: impl Fn(&Word) -> Result<String, String>,
    ) -> Result<Self, GraphError> {
        let names = Names::of(file);
        let target = names.target(file, target)?;
        let mut stages: BTreeMap<usize, Stage> = BTreeMap::new();
        let mut wanted = vec![target];
        while let Some(index) = wanted.pop() {
            if let Some(source) = file.stages.get(index)
                && !stages.contains_key(&index)
            {
                let stage = names.stage(index, &source.from, &source.instructions, &expand)?;
                wanted.extend(&stage.needs);
                stages.insert(index, stage);
            }
        }
        let unused = |index: usize| Stage {
            name: names.by_index.get(index).cloned().flatten(),
            base: Base::Scratch,
            platform: None,
            from: file.stages[index].from.clone(),
            instructions: Vec::new(),
            needs: Vec::new(),
        };
        let stages = (0..file.stages.len())
            .map(|i| stages.remove(&i).unwrap_or_else(|| unused(i)))
            .collect();
        Ok(Self { stages, target })
    }

    /// Whether the target is this stage, or built on it.
    pub fn is_built_on(&self, stage: usize) -> bool {
        let mut next = Some(self.target);
        while let Some(index) = next {
            if index == stage {
                return true;
            }
            next = match self.stages.get(index).map(|stage| &stage.base) {
                Some(Base::Stage(below)) => Some(*below),
                _ => None,
            };
        }
        false
    }

    /// The stage that `COPY --from=word` in stage `user` means, if it means one.
    pub fn copy_source(&self, user: usize, word: &Word) -> Result<Option<usize>, GraphError> {
        Names {
            by_index: self.stages.iter().map(|stage| stage.name.clone()).collect(),
        }
        .find(user, word, true)
    }

    /// What the needed stages take from that is no stage, each once.
    pub fn images(&self) -> Vec<String> {
        let mut images = Vec::new();
        for index in self.needed() {
            let stage = &self.stages[index];
            if let Base::Image(name) = &stage.base {
                images.push(name.clone());
            }
            for (word, _) in stage.instructions.iter().flat_map(|one| sources(&one.kind)) {
                if let Ok(None) = self.copy_source(index, &word) {
                    images.push(word.text);
                }
            }
        }
        images.sort();
        images.dedup();
        images
    }

    /// Whether the target needs a stage that runs something.
    pub fn runs(&self) -> bool {
        let is_run = |instruction: &Instruction| matches!(instruction.kind, InstructionKind::Run(_));
        let stages = self
            .needed()
            .into_iter()
            .filter_map(|index| self.stages.get(index));
        stages.flat_map(|stage| &stage.instructions).any(is_run)
    }

    /// The stages that the target needs, itself included, in order.
    pub fn needed(&self) -> Vec<usize> {
        let mut needed = vec![false; self.stages.len()];
        let mut wanted = vec![self.target];
        while let Some(index) = wanted.pop() {
            if let Some(seen) = needed.get_mut(index).filter(|seen| !**seen) {
                *seen = true;
                wanted.extend(&self.stages[index].needs);
            }
        }
        (0..needed.len()).filter(|index| needed[*index]).collect()
    }
}

/// Names of stages, by number.
struct Names {
    by_index: Vec<Option<String>>,
}

impl Names {
    fn of(file: &Containerfile) -> Self {
        let name = |from: &From| from.name.as_ref().map(|name| name.text.to_lowercase());
        Self {
            by_index: file.stages.iter().map(|stage| name(&stage.from)).collect(),
        }
    }

    fn target(&self, file: &Containerfile, target: Option<&str>) -> Result<usize, GraphError> {
        let Some(target) = target.filter(|target| !target.is_empty()) else {
            return Ok(file.stages.len().saturating_sub(1));
        };
        let lower = target.to_lowercase();
        let named = self
            .by_index
            .iter()
            .rposition(|name| name.as_deref() == Some(&lower));
        let numbered = || target.parse().ok().filter(|number| *number < file.stages.len());
        named.or_else(numbered).ok_or_else(|| GraphError::NoSuchTarget {
            name: target.to_owned(),
            known: self
                .by_index
                .iter()
                .enumerate()
                .map(|(index, name)| name.clone().unwrap_or_else(|| index.to_string()))
                .collect(),
        })
    }

    fn stage(
        &self,
        index: usize,
        from: &From,
        instructions: &[Instruction],
        expand: impl Fn(&Word) -> Result<String, String>,
    ) -> Result<Stage, GraphError> {
        let expand = |word: &Word| {
            expand(word).map_err(|message| GraphError::Expand {
                message,
                span: word.span.clone(),
            })
        };
        let image = expand(&from.image)?;
        if image.is_empty() {
            return Err(GraphError::EmptyBase {
                word: from.image.text.clone(),
                span: from.image.span.clone(),
            });
        }
        let expanded = Word {
            text: image.clone(),
            span: from.image.span.clone(),
        };
        let base = match self.earlier(index, &expanded.text) {
            Some(stage) => Base::Stage(stage),
            None if image == "scratch" => Base::Scratch,
            None => Base::Image(image),
        };
        let platform = from.platform.as_ref().map(expand).transpose()?;
        let mut needs: Vec<usize> = match base {
            Base::Stage(stage) => vec![stage],
            _ => Vec::new(),
        };
        for instruction in instructions {
            for (word, indexed) in sources(&instruction.kind) {
                needs.extend(self.find(index, &word, indexed)?);
            }
        }
        needs.sort_unstable();
        needs.dedup();
        Ok(Stage {
            name: self.by_index[index].clone(),
            base,
            platform: platform.filter(|platform| !platform.is_empty()),
            from: from.clone(),
            instructions: instructions.to_vec(),
            needs,
        })
    }

    /// The last stage of this name before `user`.
    fn earlier(&self, user: usize, name: &str) -> Option<usize> {
        let name = name.to_lowercase();
        self.by_index
            .iter()
            .take(user)
            .rposition(|known| known.as_deref() == Some(&name))
    }

    /// The stage that a `from` in stage `user` means, if it means one.
    fn find(&self, user: usize, word: &Word, indexed: bool) -> Result<Option<usize>, GraphError> {
        if let Some(stage) = self.earlier(user, &word.text) {
            return Ok(Some(stage));
        }
        let later = || GraphError::LaterStage {
            name: word.text.clone(),
            span: word.span.clone(),
        };
        let lower = word.text.to_lowercase();
        if self
            .by_index
            .iter()
            .skip(user)
            .any(|known| known.as_deref() == Some(&lower))
        {
            return Err(later());
        }
        match word.text.parse::<usize>() {
            Ok(number) if indexed && number < user => Ok(Some(number)),
            Ok(number) if indexed && number < self.by_index.len() => Err(later()),
            _ => Ok(None),
        }
    }
}

/// What an instruction takes from elsewhere, and whether it may name a stage by number.
fn sources(kind: &InstructionKind) -> Vec<(Word, bool)> {
    match kind {
        InstructionKind::Copy(copy) | InstructionKind::Add(copy) => {
            copy.from.iter().map(|word| (word.clone(), true)).collect()
        }
        InstructionKind::Run(run) => run.mounts.iter().filter_map(mount_source).collect(),
        _ => Vec::new(),
    }
}

/// The `from` of a mount as written; it is never expanded.
fn mount_source(mount: &Word) -> Option<(Word, bool)> {
    let value = mount.text.split(',').find_map(|field| {
        let (key, value) = field.trim_matches('"').split_once('=')?;
        key.trim().eq_ignore_ascii_case("from").then(|| value.to_owned())
    })?;
    Some((
        Word {
            text: value,
            span: mount.span.clone(),
        },
        false,
    ))
}
