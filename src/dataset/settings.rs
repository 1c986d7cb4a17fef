//! A setting in one place: its field, flag, default, range and help are one row of a table.

use std::fmt::Display;
use std::ops::RangeInclusive;

use anyhow::{Result, ensure};

/// A struct of settings. A row is `field: type = default, "VALUE", range;` under the line of help that is the field's
/// documentation, too; the range may be left out. Attributes for `clap` may stand between. A group within it comes after the
/// rows, behind `..`.
macro_rules! settings {
    (
        $(#[$about:meta])* $name:ident, $heading:literal;
        $($(#[$help:meta])+ $field:ident: $type:ty = $default:expr, $value:literal $(, $range:expr)?;)+
        $(.. $(#[$of_group:meta])+ $group:ident: $group_type:ty;)?
    ) => {
        $(#[$about])*
        #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize, clap::Args)]
        pub struct $name {
            $(#[arg(long, value_name = $value, help_heading = $heading)] $(#[$help])+ pub $field: $type,)+
            $($(#[$of_group])+ #[command(flatten)] pub $group: $group_type,)?
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $default,)+ $($group: Default::default(),)? }
            }
        }

        impl $name {
            /// Refuses values that make no sense, by the names of their flags.
            ///
            /// # Errors
            /// When one is out of its range.
            pub fn check_ranges(&self) -> anyhow::Result<()> {
                $($($crate::dataset::settings::within(stringify!($field), stringify!($type), self.$field, $range)?;)?)+
                $(self.$group.check_ranges()?;)?
                Ok(())
            }
        }
    };
}
pub(crate) use settings;

/// Refuses a value of a field that is out of its range.
pub(crate) fn within<T: PartialOrd + Display>(
    field: &str,
    kind: &str,
    value: impl Into<Option<T>>,
    range: RangeInclusive<T>,
) -> Result<()> {
    let Some(value) = value.into() else { return Ok(()) };
    let (flag, number) = (field.replace('_', "-"), if kind == "f64" { "number" } else { "whole number" });
    let (low, high) = (range.start(), range.end());
    ensure!(range.contains(&value), "--{flag}: expected a {number} from {low} to {high}, found {value}");
    Ok(())
}
