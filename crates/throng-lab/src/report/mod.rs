//! What a run says to people and programs: a page, a table, a verdict for a pipeline.
//!
//! Neighbours: everything here is a function of the run's folder alone, so that a report can be made
//! again years later; `run` writes the folder and knows nothing of this. It never measures and never
//! judges anew.

pub mod chart;
mod charts;
mod data;
pub mod flame;
pub mod folder;
pub(crate) mod html;
mod list;
pub(crate) mod others;
mod paper_font;
mod pdf;
mod stages;
mod svg;
mod tables;
mod verdict;
pub mod words;

use std::io;
use std::path::{Path, PathBuf};

pub use folder::{Folder, FolderError};
pub use list::{list, runs_in};

/// One form of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// One page that needs nothing else.
    Html,
    /// The samples as a table.
    Csv,
    /// The verdict for programs.
    Json,
    /// A test case for each promise.
    Junit,
    /// The page on paper.
    Pdf,
}

impl Form {
    /// What the file is called.
    pub fn file_name(self) -> &'static str {
        match self {
            Self::Html => "report.html",
            Self::Csv => "samples.csv",
            Self::Json => "report.json",
            Self::Junit => "junit.xml",
            Self::Pdf => "report.pdf",
        }
    }

    /// The report itself.
    pub fn of(self, run: &Folder) -> Vec<u8> {
        match self {
            Self::Html => html::page(run).into_bytes(),
            Self::Csv => data::csv(run).into_bytes(),
            Self::Json => data::json(run).into_bytes(),
            Self::Junit => data::junit(run).into_bytes(),
            Self::Pdf => pdf::paper(run),
        }
    }
}

/// Writes each chart of a run as a picture of its own to `to`; the files written.
pub fn pictures(run: &Path, to: &Path) -> Result<Vec<PathBuf>, ReportError> {
    let folder = Folder::read(run)?;
    std::fs::create_dir_all(to).map_err(|e| ReportError::Unwritable(to.to_owned(), e))?;
    let mut written = Vec::new();
    for chart in charts::of(&folder) {
        let path = to.join(format!("{}.svg", chart.id));
        std::fs::write(&path, svg::picture(&chart))
            .map_err(|error| ReportError::Unwritable(path.clone(), error))?;
        written.push(path);
    }
    Ok(written)
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The run cannot be read.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The report cannot be written.
    #[error("{0}: {1}")]
    Unwritable(PathBuf, io::Error),
}

/// Reads a run and writes these forms of its report to `to`; the files written.
pub fn write(run: &Path, forms: &[Form], to: &Path) -> Result<Vec<PathBuf>, ReportError> {
    let folder = Folder::read(run)?;
    std::fs::create_dir_all(to).map_err(|e| ReportError::Unwritable(to.to_owned(), e))?;
    let mut written = Vec::new();
    for form in forms {
        let path = to.join(form.file_name());
        std::fs::write(&path, form.of(&folder))
            .map_err(|error| ReportError::Unwritable(path.clone(), error))?;
        written.push(path);
    }
    Ok(written)
}
