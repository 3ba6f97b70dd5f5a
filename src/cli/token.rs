//! `fizzops token`: issue, inspect and revoke tokens, change their key; and who comes in with one. Keys are read from
//! files that their owner alone may read, or from environment variables, and are never printed.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Args, Subcommand};

use super::data::{DataDirArg, SharedDataDirArg};
use super::keys::{create_private, random, read_private, replace_private, write};
use super::session::{ConfigSource, load};
use super::{Exit, Failure};
use crate::domain::{ErrorCode, Secret};
use crate::engine::{Authenticated, Settings};
use crate::mechanisms::auth::token::jwt::{JwtKey, new_es256, public_pem};
use crate::mechanisms::auth::token::{Algorithm, Claims, RevocationList, TokenError, check_secret, efp};
use crate::mechanisms::auth::{AuthConfig, Duty, Role, password};

/// The shared secret, instead of its file.
const SECRET_VARIABLE: &str = "EFP_TOKEN_SECRET";
/// The token of whoever runs the program.
const TOKEN_VARIABLE: &str = "EFP_TOKEN";
/// The password of whoever runs the program, where a user store is configured.
const PASSWORD_VARIABLE: &str = "EFP_PASSWORD";

const AFTER_HELP: &str = "\
Examples:
  fizzops token issue --user ann --role BUZZ_ADMIN > ann.token && chmod 600 ann.token
  fizzops --token-file ann.token                   the console, as ann
  EFP_TOKEN=$(cat ann.token) fizzops run --range 1 20
  fizzops token inspect ann.token
  fizzops token revoke ann.token
  fizzops token rotate-key                         every token so far is refused from now on

The secret is made at the first use, in the data directory, readable by its owner alone. $EFP_TOKEN_SECRET replaces it.
rbac.token_algorithm chooses between EFP (HMAC-SHA256), ES256, RS256, and HS256 with rbac.development: true.";

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct TokenArgs {
    #[command(flatten)]
    dir: SharedDataDirArg,
    #[command(subcommand)]
    command: Sub,
}

#[derive(Debug, Subcommand)]
enum Sub {
    /// Issue a token, on standard output
    Issue {
        /// Whose
        #[arg(long, value_name = "NAME")]
        user: String,
        /// In which role [default: the one that the user store has]
        #[arg(long)]
        role: Option<Role>,
        /// How long it is valid [default: rbac.token_ttl_seconds]
        #[arg(long, value_name = "TIME", value_parser = super::live::duration)]
        ttl: Option<std::time::Duration>,
        #[command(flatten)]
        source: ConfigSource,
    },
    /// What a token says, and whether it is taken
    Inspect {
        /// The file with the token; - is standard input [default: $EFP_TOKEN]
        file: Option<PathBuf>,
        #[command(flatten)]
        source: ConfigSource,
    },
    /// Take a token back
    Revoke {
        /// The file with the token; - is standard input
        #[arg(required_unless_present = "id", conflicts_with = "id")]
        file: Option<PathBuf>,
        /// The token's id (its claim jti) instead
        #[arg(long, value_name = "JTI")]
        id: Option<String>,
        #[command(flatten)]
        source: ConfigSource,
    },
    /// Put a new key in the place of the present one
    RotateKey {
        #[command(flatten)]
        source: ConfigSource,
    },
    /// The Argon2id hash of a password on standard input, for rbac.users
    HashPassword,
}

/// Who runs the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The name.
    pub user: String,
    /// The role.
    pub role: Role,
    /// The token's id, for whoever came in with one.
    pub token_id: Option<String>,
}

impl Identity {
    /// What goes on record of whoever came in with a token.
    pub fn by_token(self) -> Option<Authenticated> {
        let Self { user, role, token_id } = self;
        token_id.map(|token_id| Authenticated { user, role, token_id })
    }
}

/// Keys and lists, as configured.
struct Office {
    config: AuthConfig,
    folder: PathBuf,
}

/// A key that signs and verifies in its own way.
enum Key {
    Efp(Secret),
    Jwt(JwtKey),
}

fn refused(error: &TokenError) -> Failure {
    let exit = if error.code() == ErrorCode::Token { Exit::NotPermitted } else { Exit::Usage };
    Failure::new(exit, Some(error.code()), error.to_string())
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.is_empty())
}

/// A random text of 64 hexadecimal digits, or fewer.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Office {
    const fn open(config: AuthConfig, folder: PathBuf) -> Self {
        Self { config, folder }
    }

    fn key_file(&self) -> PathBuf {
        let name = match self.config.token_algorithm {
            Algorithm::Efp => "token-efp.secret",
            Algorithm::Hs256 => "token-hs256.secret",
            Algorithm::Es256 => "token-es256.pem",
            Algorithm::Rs256 => "token-rs256.pem",
        };
        self.config.token_key_file.clone().unwrap_or_else(|| self.folder.join(name))
    }

    fn revocation_file(&self) -> PathBuf {
        self.config.token_revocation_file.clone().unwrap_or_else(|| self.folder.join("token-revoked.json"))
    }

    /// A fresh key, for algorithms whose keys we make.
    fn fresh(&self) -> Result<Option<Secret>, Failure> {
        Ok(match self.config.token_algorithm {
            Algorithm::Efp | Algorithm::Hs256 => Some(Secret::new(format!("{}\n", hex(&random::<32>()?)))),
            Algorithm::Es256 => loop {
                // All but a handful of the numbers of this size are keys.
                if let Some(key) = new_es256(&random()?) {
                    break Some(key);
                }
            },
            Algorithm::Rs256 => None,
        })
    }

    /// Makes what a default install has not: a key of its own, and an empty list of revoked tokens beside it.
    fn first_run(&self) -> Result<(), Failure> {
        let file = self.key_file();
        let given = self.config.token_algorithm.is_shared() && variable(SECRET_VARIABLE).is_some();
        if !given && !file.exists() {
            let key = self.fresh()?.ok_or_else(|| {
                Failure::usage(format!(
                    "RS256 needs a key of your own in {}: openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:3072; \
                     or choose ES256",
                    file.display()
                ))
            })?;
            create_private(&file, &key)?;
        }
        // A list that is missing while a key is there means that nobody knows what was revoked: that is never mended here.
        let list = self.revocation_file();
        let marker = self.folder.join("token-revoked.made");
        if !list.exists() && !marker.exists() {
            let text = serde_json::to_string_pretty(&RevocationList::default()).unwrap_or_default() + "\n";
            write(&list, &text)?;
            write(&marker, "The list of revoked tokens was made; a list that is missing from now on refuses all.\n")?;
        }
        Ok(())
    }

    fn secret(&self) -> Result<Secret, Failure> {
        let secret = match variable(SECRET_VARIABLE) {
            Some(text) => Secret::new(text),
            None => {
                let read = read_private(&self.key_file())?;
                Secret::new(read.expose().trim_ascii_end())
            }
        };
        check_secret(&secret, self.config.token_algorithm).map_err(|error| refused(&error))?;
        Ok(secret)
    }

    fn key(&self) -> Result<Key, Failure> {
        let algorithm = self.config.token_algorithm;
        let key = match algorithm {
            Algorithm::Efp => return Ok(Key::Efp(self.secret()?)),
            Algorithm::Hs256 if !self.config.development => Err(TokenError::Development),
            Algorithm::Hs256 => JwtKey::shared(&self.secret()?, true),
            Algorithm::Es256 | Algorithm::Rs256 => {
                let file = self.key_file();
                let private = if file.exists() { Some(read_private(&file)?) } else { None };
                let public = self.config.token_public_key_file.as_ref().map(|file| {
                    fs::read(file)
                        .map_err(|error| Failure::usage(format!("{} cannot be read: {error}", file.display())))
                });
                let public = public.transpose()?;
                JwtKey::asymmetric(algorithm, private.as_ref(), public.as_deref())
            }
        };
        key.map(Key::Jwt).map_err(|error| refused(&error))
    }

    fn verify(&self, token: &str) -> Result<Claims, Failure> {
        let policy = self.config.policy();
        let claims = match self.key()? {
            Key::Efp(secret) => efp::verify(token, &secret, &policy, now()),
            Key::Jwt(key) => key.verify(token, &policy, now()),
        };
        let claims = claims.map_err(|error| refused(&error))?;
        RevocationList::read(fs::read(self.revocation_file()))
            .and_then(|list| list.check(&claims))
            .map_err(|error| refused(&error))?;
        Ok(claims)
    }
}

/// A token from a file, or from the environment.
fn read_token(file: Option<&Path>) -> Result<Option<String>, Failure> {
    let text = match file {
        None => return Ok(variable(TOKEN_VARIABLE)),
        Some(file) if file.as_os_str() == "-" => {
            let mut text = String::new();
            let read = std::io::stdin().take(64 * 1024).read_to_string(&mut text);
            read.map_err(|error| Failure::usage(format!("standard input cannot be read: {error}")))?;
            text
        }
        Some(file) => fs::read_to_string(file)
            .map_err(|error| Failure::usage(format!("{} cannot be read: {error}", file.display())))?,
    };
    Ok(Some(text.trim().to_owned()))
}

/// Who runs the program: by token, by name and password where there is a user store, else by name alone, which is
/// believed. `name` is what was given on the command line.
pub fn identify(
    settings: &Settings,
    dir: &DataDirArg,
    token_file: Option<&Path>,
    name: Option<&str>,
) -> Result<Option<Identity>, Failure> {
    let config = &settings.rbac;
    if let Some(token) = read_token(token_file)? {
        let claims = Office::open(config.clone(), dir.path()?).verify(&token)?;
        return Ok(Some(Identity { user: claims.sub, role: claims.role, token_id: Some(claims.jti) }));
    }
    if config.users.is_empty() {
        return Ok(None);
    }
    by_password(config, name.unwrap_or(&config.user)).map(Some)
}

/// Whoever knows the password.
fn by_password(config: &AuthConfig, name: &str) -> Result<Identity, Failure> {
    let unknown = |problem: &str| Failure::new(Exit::NotPermitted, Some(ErrorCode::Authentication), problem);
    let password = variable(PASSWORD_VARIABLE).ok_or_else(|| {
        unknown("this installation has users: give a token ($EFP_TOKEN, --token-file), or a name and $EFP_PASSWORD")
    })?;
    match password::authenticate(&config.users, name, &Secret::new(password)) {
        Some(user) => Ok(Identity { user: user.name.clone(), role: user.role, token_id: None }),
        None => Err(unknown("the name or the password is wrong")),
    }
}

pub fn main(args: &TokenArgs) -> Result<Exit, Failure> {
    let dir = &args.dir;
    match &args.command {
        Sub::Issue { user, role, ttl, source } => issue(user, *role, *ttl, dir, source),
        Sub::Inspect { file, source } => inspect(file.as_deref(), dir, source),
        Sub::Revoke { file, id, source } => revoke(file.as_deref(), id.as_deref(), dir, source),
        Sub::RotateKey { source } => rotate(dir, source),
        Sub::HashPassword => hash_password(),
    }
}

fn office(dir: &SharedDataDirArg, source: &ConfigSource) -> Result<(Settings, Office), Failure> {
    let settings = load(&Settings::default(), source, &[])?.value;
    let office = Office::open(settings.rbac.clone(), dir.path()?);
    Ok((settings, office))
}

/// Where there are users, other people's tokens and the key are for whoever may administer users: by token, or by name
/// and password. Without users they are for whoever may read the key.
fn permit(office: &Office) -> Result<(), Failure> {
    let config = &office.config;
    if config.users.is_empty() {
        return Ok(());
    }
    let role = match variable(TOKEN_VARIABLE) {
        Some(token) => office.verify(&token)?.role,
        None => by_password(config, &config.user)?.role,
    };
    role.refusal(Duty::User).map_or(Ok(()), |refusal| {
        Err(Failure::new(Exit::NotPermitted, Some(ErrorCode::InsufficientPrivileges), refusal))
    })
}

fn issue(
    user: &str,
    role: Option<Role>,
    ttl: Option<std::time::Duration>,
    dir: &SharedDataDirArg,
    source: &ConfigSource,
) -> Result<Exit, Failure> {
    let (settings, office) = office(dir, source)?;
    let stored = if settings.rbac.users.is_empty() {
        None
    } else if variable(TOKEN_VARIABLE).is_some() {
        permit(&office)?;
        let known = settings.rbac.users.iter().find(|known| known.name == user);
        let known = known.ok_or_else(|| Failure::usage(format!("there is no user `{user}` in rbac.users")))?;
        Some(known.role)
    } else {
        by_password(&settings.rbac, user).map(|identity| Some(identity.role))?
    };
    let role = match (stored, role) {
        (Some(stored), Some(role)) if role != stored => {
            let problem = format!("{user} has the role {}, and no token in another one", stored.name());
            return Err(Failure::new(Exit::NotPermitted, Some(ErrorCode::InsufficientPrivileges), problem));
        }
        (Some(role), _) | (None, Some(role)) => role,
        (None, None) => return Err(Failure::usage("in which role? Give --role, or configure rbac.users")),
    };
    if user.is_empty() {
        return Err(Failure::usage("a token is somebody's: --user is empty"));
    }
    if office.config.token_algorithm == Algorithm::Hs256 && !office.config.development {
        return Err(refused(&TokenError::Development));
    }
    office.first_run()?;
    let begins = now();
    let ttl = ttl.map_or(office.config.token_ttl_seconds as f64, |ttl| ttl.as_secs_f64());
    let claims = Claims {
        sub: user.to_owned(),
        role,
        iss: office.config.token_issuer.clone(),
        iat: begins,
        exp: begins + ttl.max(1.0),
        jti: uuid::Builder::from_random_bytes(random()?).into_uuid().to_string(),
    };
    let token = match office.key()? {
        Key::Efp(secret) => efp::issue(&claims, &secret, random::<1>()?[0]),
        Key::Jwt(key) => key.issue(&claims, &office.config.policy()),
    };
    super::output::print(&(token.map_err(|error| refused(&error))? + "\n"))
}

fn inspect(file: Option<&Path>, dir: &SharedDataDirArg, source: &ConfigSource) -> Result<Exit, Failure> {
    let (_, office) = office(dir, source)?;
    let token = read_token(file)?.ok_or_else(|| Failure::usage("which token? Give its file, or $EFP_TOKEN"))?;
    let claims = office.verify(&token)?;
    let time = |seconds: f64| crate::domain::Timestamp::from_millis((seconds * 1_000.0) as u64);
    super::output::print(&format!(
        "valid: {} in the role {}\nissuer   {}\nissued   {}\nexpires  {}\nid       {}\n",
        claims.sub,
        claims.role.name(),
        claims.iss,
        time(claims.iat),
        time(claims.exp),
        claims.jti
    ))
}

fn revoke(
    file: Option<&Path>,
    id: Option<&str>,
    dir: &SharedDataDirArg,
    source: &ConfigSource,
) -> Result<Exit, Failure> {
    let (_, office) = office(dir, source)?;
    let id = match (id, file) {
        (Some(id), _) => id.to_owned(),
        (None, file) => {
            let token = read_token(file)?.ok_or_else(|| Failure::usage("which token? Give its file or --id"))?;
            office.verify(&token)?.jti
        }
    };
    let own = variable(TOKEN_VARIABLE).and_then(|token| office.verify(&token).ok()).is_some_and(|own| own.jti == id);
    if !own {
        permit(&office)?;
    }
    let path = office.revocation_file();
    let mut list = RevocationList::read(fs::read(&path)).map_err(|error| refused(&error))?;
    let new = list.revoke(&id, now() as u64);
    write(&path, &(serde_json::to_string_pretty(&list).unwrap_or_default() + "\n"))?;
    let word = if new { "is revoked" } else { "was revoked before" };
    super::output::print(&format!("token {id} {word}; {} are on the list {}\n", list.len(), path.display()))
}

fn rotate(dir: &SharedDataDirArg, source: &ConfigSource) -> Result<Exit, Failure> {
    let (_, office) = office(dir, source)?;
    permit(&office)?;
    let algorithm = office.config.token_algorithm;
    if algorithm.is_shared() && variable(SECRET_VARIABLE).is_some() {
        return Err(Failure::usage(format!("the secret comes from ${SECRET_VARIABLE}; change it there")));
    }
    let file = office.key_file();
    let key = office.fresh()?.ok_or_else(|| {
        Failure::usage(format!("RS256 keys are your own: put another one in the place of {}", file.display()))
    })?;
    office.first_run()?;
    replace_private(&file, &key)?;
    let mut text = format!(
        "a new {} key is in {}; tokens that were issued before are refused from now on\n",
        algorithm.name(),
        file.display()
    );
    if let Some(public) = public_pem(&key).filter(|_| algorithm == Algorithm::Es256) {
        text.push_str(&format!("its public half, for whoever verifies:\n{public}"));
    }
    super::output::print(&text)
}

fn hash_password() -> Result<Exit, Failure> {
    let mut text = String::new();
    let read = std::io::stdin().take(4_096).read_to_string(&mut text);
    read.map_err(|error| Failure::usage(format!("standard input cannot be read: {error}")))?;
    let hash = password::hash(&Secret::new(text.trim_end_matches(['\r', '\n'])), &random()?);
    super::output::print(&(hash.map_err(|error| Failure::usage(error.to_string()))? + "\n"))
}
