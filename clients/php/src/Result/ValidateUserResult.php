<?php

declare(strict_types=1);

namespace Nivisco\Payments\Result;

/** What `validate_user` answers. Generated: do not edit. */
final class ValidateUserResult
{
    /** The user. */
    public ValidateUserUser $user;

    /**
     * @internal
     *
     * @param array<string, mixed> $answer
     */
    public static function read(array $answer): self
    {
        $result = new self();
        $result->user = ValidateUserUser::read($answer['user']);

        return $result;
    }
}
