<?php

declare(strict_types=1);

namespace Nivisco\Payments\Result;

/** What `create_user` answers. Generated: do not edit. */
final class CreateUserResult
{
    /** The new user. */
    public CreateUserUser $user;
    /** The new user's wallet in the business's default environment. */
    public CreateUserWallet $wallet;

    /**
     * @internal
     *
     * @param array<string, mixed> $answer
     */
    public static function read(array $answer): self
    {
        $result = new self();
        $result->user = CreateUserUser::read($answer['user']);
        $result->wallet = CreateUserWallet::read($answer['wallet']);

        return $result;
    }
}
