//! Traffic routers by their names in `spec.provider` and `-mesh-provider`.

use std::fmt;

use super::Problem;

/// A traffic router, as `spec.provider` names it. Every known one is here; which of them have a backend is the `traffic` crate's to say.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Provider {
    /// No mesh: blue/green behind the canary's own Service.
    Kubernetes,
    /// Istio's VirtualService and DestinationRule.
    Istio,
    /// Linkerd: SMI TrafficSplit v1alpha1.
    Linkerd,
    /// Any SMI mesh; the name of the mesh behind it, where one is given (`osm`, `smi:v1alpha2:istio`).
    Smi {
        /// The version of TrafficSplit.
        version: SmiVersion,
        /// The mesh: `istio` makes the gateways an annotation.
        mesh: String,
    },
    /// Gateway API `v1`.
    GatewayApiV1,
    /// Gateway API `v1beta1`.
    GatewayApiV1Beta1,
    /// AWS App Mesh v1beta1.
    AppMesh,
    /// AWS App Mesh v1beta2.
    AppMeshV1Beta2,
    /// Contour.
    Contour,
    /// Gloo.
    Gloo,
    /// NGINX.
    Nginx,
    /// Skipper.
    Skipper,
    /// Traefik.
    Traefik,
    /// APISIX.
    Apisix,
    /// Kuma.
    Kuma,
    /// Knative.
    Knative,
}

/// The versions of SMI's TrafficSplit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SmiVersion {
    /// Weights are quantities, written as strings.
    V1Alpha1,
    /// Weights are integers.
    V1Alpha2,
    /// Weights are integers, with matches.
    V1Alpha3,
}

/// The names that are allowed, for messages.
const ALLOWED: &str = "must be one of kubernetes, istio, linkerd, osm, smi:v1alpha1, smi:v1alpha2, smi:v1alpha3, gatewayapi:v1, \
     gatewayapi:v1beta1, appmesh, appmesh:v1beta2, contour, gloo, nginx, skipper, traefik, apisix, kuma, knative";

impl Provider {
    /// The provider of that name.
    ///
    /// # Errors
    /// A [`Problem`] that lists the names, for any other text: nothing falls back to another provider.
    ///
    /// **Source**: dossier 02 A.2. **Differs from Flagger**, where an unknown name means Istio.
    pub fn parse(field: &str, name: &str) -> Result<Self, Problem> {
        let smi = |version, rest: &str| Self::Smi {
            version,
            mesh: rest.strip_prefix(':').unwrap_or(name).to_owned(),
        };
        if let Some(rest) = name.strip_prefix("smi:v1alpha1") {
            return Ok(smi(SmiVersion::V1Alpha1, rest));
        }
        if let Some(rest) = name.strip_prefix("smi:v1alpha2") {
            return Ok(smi(SmiVersion::V1Alpha2, rest));
        }
        if let Some(rest) = name.strip_prefix("smi:v1alpha3") {
            return Ok(smi(SmiVersion::V1Alpha3, rest));
        }
        Ok(match name {
            "kubernetes" => Self::Kubernetes,
            "istio" => Self::Istio,
            "linkerd" => Self::Linkerd,
            "osm" => Self::Smi {
                version: SmiVersion::V1Alpha2,
                mesh: "osm".to_owned(),
            },
            "gatewayapi:v1" => Self::GatewayApiV1,
            "gatewayapi:v1beta1" => Self::GatewayApiV1Beta1,
            "appmesh" => Self::AppMesh,
            "appmesh:v1beta2" => Self::AppMeshV1Beta2,
            "contour" => Self::Contour,
            "gloo" => Self::Gloo,
            "nginx" => Self::Nginx,
            "skipper" => Self::Skipper,
            "traefik" => Self::Traefik,
            "apisix" => Self::Apisix,
            "kuma" => Self::Kuma,
            "knative" => Self::Knative,
            _ => return Err(Problem::new(field, name, ALLOWED)),
        })
    }

    /// Whether live traffic can be split at all: without a mesh all of it stays on the primary.
    pub fn has_mesh(&self) -> bool {
        *self != Self::Kubernetes
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Kubernetes => "kubernetes",
            Self::Istio => "istio",
            Self::Linkerd => "linkerd",
            Self::Smi {
                version: SmiVersion::V1Alpha1,
                ..
            } => "smi:v1alpha1",
            Self::Smi { mesh, .. } if mesh == "osm" => "osm",
            Self::Smi {
                version: SmiVersion::V1Alpha2,
                ..
            } => "smi:v1alpha2",
            Self::Smi {
                version: SmiVersion::V1Alpha3,
                ..
            } => "smi:v1alpha3",
            Self::GatewayApiV1 => "gatewayapi:v1",
            Self::GatewayApiV1Beta1 => "gatewayapi:v1beta1",
            Self::AppMesh => "appmesh",
            Self::AppMeshV1Beta2 => "appmesh:v1beta2",
            Self::Contour => "contour",
            Self::Gloo => "gloo",
            Self::Nginx => "nginx",
            Self::Skipper => "skipper",
            Self::Traefik => "traefik",
            Self::Apisix => "apisix",
            Self::Kuma => "kuma",
            Self::Knative => "knative",
        })
    }
}
