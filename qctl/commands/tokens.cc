// qctl login; qctl tokens and its create and revoke; qctl workers invite: who is let in.
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/address.h"
#include "common/clock.h"
#include "common/credentials.h"
#include "common/enum_text.h"
#include "common/rpc.h"
#include "common/status.h"
#include "qctl/command.h"
#include "qctl/format.h"

namespace qsweep::qctl {
namespace {

absl::StatusOr<int> Login(const std::string& invitation) {
  ASSIGN_OR_RETURN(const v1::Credentials credentials, ParseInvitation(invitation));
  ASSIGN_OR_RETURN(const std::string address, ParseAddress(credentials.address()));
  // Good ones are kept only if they open the door.
  Client client(MakeSecureChannel(credentials));
  RETURN_IF_ERROR(Annotate(client.Ping(absl::Seconds(10)), address));
  const std::string path = UserCredentialsPath(address);
  RETURN_IF_ERROR(SaveCredentials(path, credentials));
  PrintLine(absl::StrCat("logged in; the secret is kept in ", path, ". From now on\n  qctl ",
                         "--scheduler ", address, " ...\nor, for all commands,\n",
                         "  export QSWEEP_SCHEDULER=", address));
  return kExitGood;
}

absl::StatusOr<int> List(const GlobalOptions& options) {
  ASSIGN_OR_RETURN(const auto connection, Connection::Open(options));
  ASSIGN_OR_RETURN(const v1::ListTokensReply tokens, connection->client().ListTokens());
  if (options.json) {
    PrintJson(tokens);
    return kExitGood;
  }
  Table table({{"id", Table::Align::kRight}, {"name"}, {"role"}, {"made"}, {"state"}, {"worker"}});
  for (const v1::Token& token : tokens.tokens()) {
    const bool good = token.revoked_unix_us() == 0;
    table.AddRow({absl::StrCat(token.id()), token.name(), EnumText(token.role()),
                  FormatTime(token.created_unix_us()),
                  good ? Cell("good", Ink::kGreen) : Cell("revoked", Ink::kDim),
                  token.worker_id()});
  }
  PrintTable(table);
  if (table.empty()) {
    Note(
        "No tokens. After `qscheduler init`, without which a scheduler asks for none, `qctl tokens "
        "create NAME` makes one.");
  }
  return kExitGood;
}

struct Invitation {
  std::string name;
  std::string role = "submit";
  std::string address;  // empty: as `qscheduler init` was told
};

// `before` stands before the invitation in the line that is to be pasted.
absl::StatusOr<int> Invite(const GlobalOptions& options, const Invitation& wanted,
                           const std::string& before) {
  std::string address;
  if (!wanted.address.empty()) {
    ASSIGN_OR_RETURN(address, ParseAddress(wanted.address));
  }
  v1::CreateTokenRequest request;
  request.set_name(wanted.name);
  request.set_role(EnumFromText<v1::Role>(wanted.role));
  ASSIGN_OR_RETURN(const auto connection, Connection::Open(options));
  ASSIGN_OR_RETURN(v1::CreateTokenReply reply, connection->client().CreateToken(request));
  if (!address.empty()) reply.mutable_credentials()->set_address(address);
  if (options.json) {
    PrintJson(reply);
    return kExitGood;
  }
  PrintLine(absl::StrCat(before, FormatInvitation(reply.credentials())));
  Note(absl::StrCat("This line is a secret, shown only now. `qctl tokens revoke ",
                    reply.token().id(), "` takes it back."));
  return kExitGood;
}

// " of host1 (worker)"; empty for one that is not listed.
absl::StatusOr<std::string> OwnerText(Client& client, int64_t id) {
  ASSIGN_OR_RETURN(const v1::ListTokensReply tokens, client.ListTokens());
  for (const v1::Token& token : tokens.tokens()) {
    if (token.id() != id) continue;
    return absl::StrCat(" of ", Printable(token.name()), " (", EnumText(token.role()), ")");
  }
  return "";
}

absl::StatusOr<int> Revoke(const GlobalOptions& options, int64_t id) {
  ASSIGN_OR_RETURN(const auto connection, Connection::Open(options));
  // Before: who revokes the token that this is done with can ask nothing afterwards.
  ASSIGN_OR_RETURN(const std::string owner, OwnerText(connection->client(), id));
  ASSIGN_OR_RETURN(const v1::RevokeTokenReply reply, connection->client().RevokeToken(id));
  if (options.json) {
    PrintJson(reply);
  } else {
    PrintLine(absl::StrCat("token ", id, owner, " revoked: it opens nothing any more"));
  }
  return kExitGood;
}

void AddInvitationOptions(Command command, Invitation& wanted, const std::string& whose) {
  command.AddOption("NAME", &wanted.name, whose).Required();
  command.AddOption("--address", &wanted.address,
                    "HOST:PORT of the scheduler as seen from there (default: as qscheduler init "
                    "was told)");
}

}  // namespace

void AddLogin(CommandLine& line) {
  auto invitation = std::make_shared<std::string>();
  line.Add("login", "keep the credentials of an invitation, for a scheduler elsewhere",
           [invitation] { return Login(*invitation); })
      .AddOption("INVITATION", invitation.get(), "the line you were given, qsweep1-...")
      .Required();
}

void AddTokens(CommandLine& line) {
  Command tokens =
      line.Add("tokens", "list who is let in", [&options = line.options] { return List(options); });
  auto wanted = std::make_shared<Invitation>();
  Command create = line.Add(
      "create", "let a person or a program in; prints the line that logs them in",
      [&options = line.options, wanted] { return Invite(options, *wanted, "qctl login "); },
      &tokens);
  AddInvitationOptions(create, *wanted, "whose it is");
  create.AddOption("--role", &wanted->role, "read, submit or admin")
      .OneOf({"read", "submit", "admin"});
  auto id = std::make_shared<int64_t>(0);
  line.Add(
          "revoke", "shut someone out",
          [&options = line.options, id] { return Revoke(options, *id); }, &tokens)
      .AddOption("ID", id.get(), "as qctl tokens lists it")
      .Required();
}

void AddInvite(CommandLine& line, Command& workers) {
  auto wanted = std::make_shared<Invitation>();
  wanted->role = "worker";
  Command invite = line.Add(
      "invite", "let a machine in; prints the line that joins it",
      [&options = line.options, wanted] {
        return Invite(options, *wanted, "qworker --state-dir ~/.local/state/qworker --join ");
      },
      &workers);
  AddInvitationOptions(invite, *wanted, "the machine's name");
}

}  // namespace qsweep::qctl
