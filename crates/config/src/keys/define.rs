//! How settings are written down: a struct of the fields that the programs read, whose keys follow
//! from the same lines.

/// Defines a table of keys and the struct that it is read into.
///
/// A line is one of
///
/// - `field: Type = "key" "Meaning." .int(7000) .ini("legacy_name");` The kind of the key and what
///   its values must satisfy follow from the type, the rest is said by the methods of
///   [`Key`](crate::keys::Key).
/// - `field: Type = like Other::field;` A key that another struct has, too.
/// - `key name: Type = ..;` A key without a field: it has no effect, or is read by a rule.
/// - `flat field: Type;` The keys of another struct, at this place.
/// - `table "key" "Meaning." { .. }` Lines of a table that is no struct of its own.
/// - `tagged field: Type;` What depends on the key that is defined as `key field` (`type`).
/// - `derived field: Type;` No key: follows from others.
///
/// `Self::field` is the key of the field, by which rules find where its value stands.
macro_rules! settings {
    ($(#[$meta:meta])* $vis:vis struct $name:ident { $($body:tt)* }) => {
        settings! { @body [$(#[$meta])* $vis struct $name] [at ""] {} {} {} {} $($body)* }

        impl $crate::keys::Table for $name {
            const KEYS: &'static [$crate::keys::Key] = settings!(@keys $name {} $($body)*);
        }

        impl $crate::keys::Item for $name {
            const KIND: $crate::keys::Kind = $crate::keys::Kind::Tables(<Self as $crate::keys::Table>::KEYS);

            fn read_all(at: &$crate::keys::At<'_, Vec<Self>>) -> Vec<Self> {
                at.items().map(|item| item.read()).collect()
            }
        }
    };

    // The struct, the constants for its keys, and how it is read.
    (@body [$(#[$meta:meta])* $vis:vis struct $name:ident] [$at:ident $pre:tt]
        {$($fields:tt)*} {$($keys:tt)*} {$($reads:tt)*} {$($differs:tt)*}) => {
        $(#[$meta])*
        $vis struct $name { $($fields)* }

        #[allow(non_upper_case_globals)]
        impl $name { $($keys)* }

        impl $crate::keys::Setting for $name {
            const KIND: $crate::keys::Kind =
                $crate::keys::Kind::Table(<Self as $crate::keys::Table>::KEYS);

            fn read($at: &$crate::keys::At<'_, Self>) -> Self {
                let _ = $at;
                Self { $($reads)* }
            }

            fn differing($at: &mut $crate::keys::Both<'_, Self>) {
                let _ = &$at;
                $($differs)*
            }
        }
    };
    (@body $head:tt [$at:ident $pre:tt] {$($fields:tt)*} {$($keys:tt)*} {$($reads:tt)*} {$($differs:tt)*}
        key $field:ident: $ty:ty = $key:literal $doc:literal $(.$with:ident($($arg:tt)*))*;
        $($rest:tt)*) => {
        settings! { @body $head [$at $pre] {$($fields)*}
            {$($keys)* pub(crate) const $field: $crate::keys::Of<Self, $ty> = $crate::keys::Of {
                key: &$crate::keys::definition::<$ty>($key, $doc)$(.$with($($arg)*))*,
                table: $pre,
                types: std::marker::PhantomData,
            };}
            {$($reads)*} {$($differs)*} $($rest)* }
    };
    (@body $head:tt [$at:ident $pre:tt] {$($fields:tt)*} {$($keys:tt)*} {$($reads:tt)*} {$($differs:tt)*}
        $(#[$meta:meta])* flat $field:ident: $ty:ty; $($rest:tt)*) => {
        settings! { @body $head [$at $pre]
            {$($fields)* $(#[$meta])* pub $field: $ty,}
            {$($keys)* pub(crate) const $field: $crate::keys::Flat<Self, $ty> =
                settings!(@flat [$pre]);}
            {$($reads)* $field: $at.flat(Self::$field).read(),}
            {$($differs)* $at.flat(Self::$field, |settings| &settings.$field);}
            $($rest)* }
    };
    (@body $head:tt [$at:ident $pre:tt] {$($fields:tt)*} {$($keys:tt)*} {$($reads:tt)*} {$($differs:tt)*}
        $(#[$meta:meta])* tagged $field:ident: $ty:ty; $($rest:tt)*) => {
        settings! { @body $head [$at $pre]
            {$($fields)* $(#[$meta])* pub $field: $ty,}
            {$($keys)*}
            {$($reads)* $field: <$ty>::read($at.section(), &$at.of(Self::$field).text()),}
            {$($differs)* $at.whole(|settings| &settings.$field);}
            $($rest)* }
    };
    (@body $head:tt [$at:ident $pre:tt] {$($fields:tt)*} {$($keys:tt)*} {$($reads:tt)*} {$($differs:tt)*}
        $(#[$meta:meta])* derived $field:ident: $ty:ty; $($rest:tt)*) => {
        settings! { @body $head [$at $pre]
            {$($fields)* $(#[$meta])* pub $field: $ty,}
            {$($keys)*}
            {$($reads)* $field: <$ty>::default(),}
            {$($differs)*}
            $($rest)* }
    };
    (@body $head:tt [$at:ident ""] $fields:tt $keys:tt $reads:tt $differs:tt
        table $key:literal $doc:literal $(.$with:ident($($arg:tt)*))* { $($inner:tt)* }
        $($rest:tt)*) => {
        settings! { @body $head [$at $key] $fields $keys $reads $differs $($inner)* @end $($rest)* }
    };
    (@body $head:tt [$at:ident $pre:tt] $fields:tt $keys:tt $reads:tt $differs:tt @end $($rest:tt)*) => {
        settings! { @body $head [$at ""] $fields $keys $reads $differs $($rest)* }
    };
    (@body $head:tt [$at:ident $pre:tt] {$($fields:tt)*} {$($keys:tt)*} {$($reads:tt)*} {$($differs:tt)*}
        $(#[$meta:meta])* $field:ident: $ty:ty = like $owner:ident::$other:ident; $($rest:tt)*) => {
        settings! { @body $head [$at $pre]
            {$($fields)*
                #[doc = concat!("As [`", stringify!($owner), "::", stringify!($other), "`].")]
                $(#[$meta])* pub $field: $ty,}
            {$($keys)* pub(crate) const $field: $crate::keys::Of<Self, $ty> =
                $crate::keys::Of { key: $owner::$other.key, table: "", types: std::marker::PhantomData };}
            {$($reads)* $field: $at.of(Self::$field).read(),}
            {$($differs)* $at.of(Self::$field, |settings| &settings.$field);}
            $($rest)* }
    };
    (@body $head:tt [$at:ident $pre:tt] {$($fields:tt)*} {$($keys:tt)*} {$($reads:tt)*} {$($differs:tt)*}
        $(#[$meta:meta])* $field:ident: $ty:ty =
            $key:literal $doc:literal $(.$with:ident($($arg:tt)*))*;
        $($rest:tt)*) => {
        settings! { @body $head [$at $pre]
            {$($fields)* #[doc = concat!("`", $key, "`: ", $doc)] $(#[$meta])* pub $field: $ty,}
            {$($keys)* pub(crate) const $field: $crate::keys::Of<Self, $ty> = $crate::keys::Of {
                key: &$crate::keys::definition::<$ty>($key, $doc)$(.$with($($arg)*))*,
                table: $pre,
                types: std::marker::PhantomData,
            };}
            {$($reads)* $field: $at.of(Self::$field).read(),}
            {$($differs)* $at.of(Self::$field, |settings| &settings.$field);}
            $($rest)* }
    };

    (@flat [$pre:tt]) => {
        $crate::keys::Flat { table: $pre, types: std::marker::PhantomData }
    };

    // The keys in the order of their lines.
    (@keys $name:ident {$($parts:tt)*}) => {{
        const PARTS: &[&[$crate::keys::Key]] = &[$($parts)*];
        const ALL: &[$crate::keys::Key] = &$crate::keys::concat::<{ $crate::keys::count(PARTS) }>(PARTS);
        ALL
    }};
    (@keys $name:ident {$($parts:tt)*} table $key:literal $doc:literal
        $(.$with:ident($($arg:tt)*))* { $($inner:tt)* } $($rest:tt)*) => {
        settings!(@keys $name {$($parts)* &[$crate::keys::key(
            $key,
            $crate::keys::Kind::Table(settings!(@keys $name {} $($inner)*)),
            $crate::keys::Rule::Any,
            $doc,
        )$(.$with($($arg)*))*],} $($rest)*)
    };
    (@keys $name:ident {$($parts:tt)*} key $field:ident: $ty:ty = $key:literal $doc:literal
        $(.$with:ident($($arg:tt)*))*; $($rest:tt)*) => {
        settings!(@keys $name {$($parts)* &[*$name::$field.key],} $($rest)*)
    };
    (@keys $name:ident {$($parts:tt)*} $(#[$meta:meta])* flat $field:ident: $ty:ty;
        $($rest:tt)*) => {
        settings!(@keys $name {$($parts)* <$ty as $crate::keys::Table>::KEYS,} $($rest)*)
    };
    (@keys $name:ident {$($parts:tt)*} $(#[$meta:meta])* tagged $field:ident: $ty:ty;
        $($rest:tt)*) => {
        settings!(@keys $name {$($parts)*} $($rest)*)
    };
    (@keys $name:ident {$($parts:tt)*} $(#[$meta:meta])* derived $field:ident: $ty:ty;
        $($rest:tt)*) => {
        settings!(@keys $name {$($parts)*} $($rest)*)
    };
    (@keys $name:ident {$($parts:tt)*} $(#[$meta:meta])* $field:ident: $ty:ty =
        like $owner:ident::$other:ident; $($rest:tt)*) => {
        settings!(@keys $name {$($parts)* &[*$name::$field.key],} $($rest)*)
    };
    (@keys $name:ident {$($parts:tt)*} $(#[$meta:meta])* $field:ident: $ty:ty = $key:literal
        $doc:literal $(.$with:ident($($arg:tt)*))*; $($rest:tt)*) => {
        settings!(@keys $name {$($parts)* &[*$name::$field.key],} $($rest)*)
    };
}

/// Defines an enum by the key `type`: a variant for each, with the struct of its own keys, if it
/// has any. `needs(Feature)` marks what a build may lack.
///
/// The checker lets no other type through; one that came through all the same would be the first.
macro_rules! tagged {
    ($(#[$meta:meta])* $vis:vis enum $name:ident {
        $(#[$first_meta:meta])* $first:ident $(($first_body:ty))? = $first_tag:expr
            $(, $first_support:ident $(($first_feature:ident))?)?;
        $( $(#[$variant_meta:meta])* $variant:ident $(($body:ty))? = $tag:expr
            $(, $support:ident $(($feature:ident))?)?; )*
    }) => {
        $(#[$meta])*
        $vis enum $name {
            $(#[$first_meta])* $first $(($first_body))?,
            $( $(#[$variant_meta])* $variant $(($body))?, )*
        }

        impl $name {
            pub(crate) const TAGS: &'static [$crate::keys::Tag] = &[
                tagged!(@tag $first_tag, [$($first_body)?], $($first_support $(($first_feature))?)?),
                $( tagged!(@tag $tag, [$($body)?], $($support $(($feature))?)?), )*
            ];

            /// The `type` as files and messages spell it.
            #[must_use]
            pub const fn as_str(&self) -> &'static str {
                match self {
                    Self::$first { .. } => $first_tag,
                    $( Self::$variant { .. } => $tag, )*
                }
            }

            /// The settings of an entry whose `type` is `kind`.
            pub(crate) fn read(section: &$crate::section::Section, kind: &str) -> Self {
                let _ = (section, kind);
                $( if kind == $tag {
                    return tagged!(@read section, $variant, [$($body)?]);
                } )*
                tagged!(@read section, $first, [$($first_body)?])
            }
        }
    };
    (@tag $tag:expr, [$($body:ty)?], $($support:ident $(($feature:ident))?)?) => {
        $crate::keys::Tag {
            name: $tag,
            keys: tagged!(@keys $($body)?),
            needs: tagged!(@needs $($($feature)?)?),
        }
    };
    (@keys) => { &[] };
    (@keys $body:ty) => { <$body as $crate::keys::Table>::KEYS };
    (@needs) => { $crate::features::Needs::Nothing };
    (@needs $feature:ident) => {
        $crate::features::Needs::Always($crate::features::Feature::$feature)
    };
    (@read $section:ident, $variant:ident, []) => { Self::$variant };
    (@read $section:ident, $variant:ident, [$body:ty]) => {
        Self::$variant($crate::keys::At::<$body>::root($section).read())
    };
}

/// A choice among names as the type of a key: alone, where there may be none, and in lists.
macro_rules! choices {
    ($($ty:ty),*) => { $(
        impl $crate::keys::Setting for $ty {
            const KIND: $crate::keys::Kind = $crate::keys::Kind::Text;
            const RULE: $crate::keys::Rule = $crate::keys::one_of::<Self>();

            fn read(at: &$crate::keys::At<'_, Self>) -> Self {
                at.choice().unwrap_or(<Self as frp_proto::names::Named>::FIRST)
            }
        }

        impl $crate::keys::Setting for Option<$ty> {
            const KIND: $crate::keys::Kind = $crate::keys::Kind::Text;
            const RULE: $crate::keys::Rule = $crate::keys::one_of::<$ty>();

            fn read(at: &$crate::keys::At<'_, Self>) -> Self {
                at.choice()
            }
        }

        impl $crate::keys::Item for $ty {
            const KIND: $crate::keys::Kind = $crate::keys::Kind::Texts;
            const RULE: $crate::keys::Rule = $crate::keys::one_of::<Self>();

            fn read_all(at: &$crate::keys::At<'_, Vec<Self>>) -> Vec<Self> {
                at.texts().filter_map(frp_proto::names::Named::named).collect()
            }
        }
    )* };
}
